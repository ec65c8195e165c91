import { BuildError } from '../core/errors.ts'
import { normalizeName } from './package-name.ts'
import { tryParseVersion, type Version } from './version.ts'

/** What a wheel's file name says. */
export interface WheelName {
  readonly filename: string
  /** Normalised. */
  readonly name: string
  readonly version: Version
  /** As written in the file name. */
  readonly versionText: string
  /** Leading number and the rest; undefined without a build tag. */
  readonly build: readonly [number, string] | undefined
  readonly pythons: readonly string[]
  readonly abis: readonly string[]
  readonly platforms: readonly string[]
}

/**
 * Parses a wheel's file name.
 *
 * @throws BuildError WHEEL_INVALID
 * @see PEP 427, "File name convention"; PEP 491
 */
export function parseWheelName(filename: string): WheelName {
  const result = readWheelName(filename)
  if (typeof result === 'string') throw new BuildError('WHEEL_INVALID', `${result}: \`${filename}\``)
  return result
}

/** As {@link parseWheelName}, but answers `undefined` for a name that is no wheel's. */
export function tryParseWheelName(filename: string): WheelName | undefined {
  const result = readWheelName(filename)
  return typeof result === 'string' ? undefined : result
}

function readWheelName(filename: string): WheelName | string {
  if (!filename.endsWith('.whl')) return 'A wheel name must end with .whl'
  const parts = filename.slice(0, -4).split('-')
  if (parts.length !== 5 && parts.length !== 6) return 'A wheel name must have five or six parts'
  const [name = '', versionText = ''] = parts
  const [pythons, abis, platforms] = parts.slice(-3).map((part) => part.toLowerCase().split('.'))
  if (name.includes('__') || !(/^[\w.]+$/.test(name) || /^[\p{L}\p{N}_.]+$/u.test(name)))
    return 'Invalid package name in a wheel name'
  const version = tryParseVersion(versionText)
  if (version === undefined) return 'Invalid version in a wheel name'
  const build = parts.length === 6 ? /^([0-9]+)(.*)$/s.exec(parts[2] ?? '') : undefined
  if (build === null) return 'Invalid build tag in a wheel name'
  if (pythons === undefined || abis === undefined || platforms === undefined) return 'A wheel name must have three tags'
  if ([...pythons, ...abis, ...platforms].includes('')) return 'Empty tag in a wheel name'
  if (!pythons.every(isIdentifier)) return 'Invalid Python tag in a wheel name'
  return {
    filename,
    name: normalizeName(name),
    version,
    versionText,
    build: build === undefined ? undefined : [Number(build[1]), build[2] ?? ''],
    pythons,
    abis,
    platforms,
  }
}

/** As Python's `str.isidentifier`; nearly every tag is ASCII, where the quick test answers. */
function isIdentifier(text: string): boolean {
  return /^[a-z_]\w*$/i.test(text) || /^[\p{L}_][\p{L}\p{N}_]*$/u.test(text)
}
