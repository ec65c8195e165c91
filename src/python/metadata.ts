import { BuildError } from '../core/errors.ts'
import { evaluateMarker, type MarkerEnvironment } from './marker.ts'
import { normalizeName } from './package-name.ts'
import { parseRequirement, type Requirement } from './requirement.ts'
import { parseSpecifiers, type SpecifierSet } from './specifier.ts'
import { parseVersion, type Version } from './version.ts'

/** The part of a wheel's METADATA that resolving needs. @see Core metadata specifications */
export interface Metadata {
  /** Normalised. */
  readonly name: string
  readonly version: Version
  readonly requiresPython: SpecifierSet
  readonly requiresDist: readonly DistRequirement[]
  /** Normalised. */
  readonly providesExtra: readonly string[]
}

/** A `Requires-Dist` line, parsed when it is needed: of the three hundred of transformers most are some extra's. */
export interface DistRequirement {
  /** Normalised: the line holds for this extra only, as can be seen without parsing it. */
  readonly onlyExtra: string | undefined
  readonly requirement: Requirement
}

/**
 * Parses METADATA (or PKG-INFO): the headers up to the first empty line.
 *
 * @param what names the file in errors
 * @throws BuildError WHEEL_INVALID
 */
export function parseMetadata(text: string, what: string): Metadata {
  const headers = readHeaders(text)
  const only = (name: string): string => {
    const value = headers.get(name)?.[0]
    if (value === undefined || value === '')
      throw new BuildError('WHEEL_INVALID', `No ${name} in the metadata of ${what}`)
    return value
  }
  try {
    return {
      name: normalizeName(only('name')),
      version: parseVersion(only('version')),
      requiresPython: parseLenientSpecifiers(headers.get('requires-python')?.[0] ?? ''),
      requiresDist: (headers.get('requires-dist') ?? []).map((line) => lazyRequirement(line, what)),
      providesExtra: (headers.get('provides-extra') ?? []).map(normalizeName),
    }
  } catch (cause) {
    if (!(cause instanceof BuildError) || cause.code === 'WHEEL_INVALID') throw cause
    throw new BuildError('WHEEL_INVALID', `The metadata of ${what} cannot be read: ${cause.message}`, { cause })
  }
}

const environments = new WeakMap<MarkerEnvironment, Map<string, MarkerEnvironment>>()

/** One object for each extra, and not one for each of a thousand markers. */
function withExtra(environment: MarkerEnvironment, extra: string): MarkerEnvironment {
  const known = environments.get(environment) ?? new Map<string, MarkerEnvironment>()
  environments.set(environment, known)
  const made = known.get(extra) ?? { ...environment, extra }
  known.set(extra, made)
  return made
}

/** The requirements that hold in an environment, without those that only an extra asks for. */
export function baseRequirements(metadata: Metadata, environment: MarkerEnvironment): readonly Requirement[] {
  return metadata.requiresDist
    .filter(({ onlyExtra }) => onlyExtra === undefined)
    .map(({ requirement }) => requirement)
    .filter((requirement) => holds(requirement, environment, ''))
}

/** The requirements that an extra adds to {@link baseRequirements}. */
export function extraRequirements(
  metadata: Metadata,
  environment: MarkerEnvironment,
  extra: string,
): readonly Requirement[] {
  return metadata.requiresDist
    .filter(({ onlyExtra }) => onlyExtra === undefined || onlyExtra === extra)
    .map(({ requirement }) => requirement)
    .filter((requirement) => !holds(requirement, environment, '') && holds(requirement, environment, extra))
}

/** Tells whether a requirement holds in an environment, with an extra or (empty) without. */
export function holds({ marker }: Requirement, environment: MarkerEnvironment, extra: string): boolean {
  if (marker === undefined) return true
  try {
    return evaluateMarker(marker, withExtra(environment, extra))
  } catch (error) {
    // A marker of somebody else's package that has no meaning holds nowhere, as in uv; it must not stop everybody.
    if (error instanceof BuildError) return false
    throw error
  }
}

function readHeaders(text: string): ReadonlyMap<string, readonly string[]> {
  const end = /\r?\n\r?\n/.exec(text)?.index ?? text.length
  const lines = text
    .slice(0, end)
    .replace(/^\uFEFF/, '')
    .replace(/\r?\n(?=[ \t])/g, '')
    .split(/\r?\n/)
  const headers = new Map<string, string[]>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon < 1) continue
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    const values = headers.get(name)
    if (values === undefined) headers.set(name, [value])
    else values.push(value)
  }
  return headers
}

/** Old releases hold spellings that the standard has since refused; these repairs are the ones uv makes. */
const REPAIRS: readonly (readonly [RegExp, string])[] = [
  // `>=2.*` and `~=3.*`: the star has no meaning with an order.
  [/(>=|<=|~=|>|<)(\s*[0-9][0-9.]*?)\.\*/g, '$1$2.0'],
  // `!=~5.0`.
  [/!=~/g, '!='],
  // `>=1.9.*,`, `(>=1.0,)`.
  [/,\s*(?=[);]|$)/g, ''],
  // `>=3.5 <4`: the comma was forgotten.
  [/([0-9*])\s+(?=[<>=!~]=?[^=])/g, '$1,'],
  // `>='3.6'` outside of markers.
  [/([<>=!~]=?)\s*['"]([0-9][^'"]*)['"]/g, '$1$2'],
  // `>=2.0dev` is fine, `>=dev` is nothing; `>=1.0-` has lost its end.
  [/([0-9])[-.](?=\s*(?:[,;)]|$))/g, '$1'],
]

/** A marker without `or` that asks for an extra is false for every other one. */
const ONLY_EXTRA = /;(?!.*\bor\b).*\bextra\s*==\s*(?:"([^"]+)"|'([^']+)')/

function lazyRequirement(line: string, what: string): DistRequirement {
  const match = ONLY_EXTRA.exec(line)
  const extra = match?.[1] ?? match?.[2]
  let parsed: Requirement | undefined
  return {
    onlyExtra: extra === undefined ? undefined : normalizeName(extra),
    get requirement() {
      parsed ??= parseNaming(line, what)
      return parsed
    },
  }
}

function parseNaming(line: string, what: string): Requirement {
  try {
    return parseLenientRequirement(line)
  } catch (cause) {
    if (!(cause instanceof BuildError)) throw cause
    throw new BuildError('WHEEL_INVALID', `The metadata of ${what} cannot be read: ${cause.message}`, { cause })
  }
}

function parseLenientRequirement(text: string): Requirement {
  try {
    return parseRequirement(text)
  } catch (error) {
    const marker = text.indexOf(';')
    const head = marker === -1 ? text : text.slice(0, marker)
    const repaired = repair(head) + (marker === -1 ? '' : ` ${text.slice(marker)}`)
    try {
      return parseRequirement(repaired)
    } catch {
      // What was written is what the message must be about, not our repair.
      throw error
    }
  }
}

/** As {@link parseSpecifiers}, with the same mistakes forgiven as in METADATA; for `requires-python` of an index. */
export function parseLenientSpecifiers(text: string): SpecifierSet {
  try {
    return parseSpecifiers(text)
  } catch (error) {
    try {
      return parseSpecifiers(repair(text))
    } catch {
      // Likewise.
      throw error
    }
  }
}

function repair(text: string): string {
  return REPAIRS.reduce((repaired, [pattern, replacement]) => repaired.replace(pattern, replacement), text)
}
