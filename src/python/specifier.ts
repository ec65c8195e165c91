import { BuildError } from '../core/errors.ts'
import {
  canonicalVersion,
  comparePublic,
  compareVersions,
  formatVersion,
  isPreRelease,
  isSamePreRelease,
  tryParseVersion,
  type Version,
  type WholeNumber,
} from './version.ts'

/** Comparison operators of PEP 440. */
export type Operator = '~=' | '==' | '!=' | '<=' | '>=' | '<' | '>' | '==='

/** One clause of a specifier set, such as `>=2.1` or `==1.2.*`. */
export interface Specifier {
  readonly operator: Operator
  /** As written, without white space around; ends with `.*` for a prefix match. */
  readonly text: string
  /** The parsed version without `.*`; undefined for `===`, whose text may be anything. */
  readonly version: Version | undefined
  readonly isPrefix: boolean
}

/** A conjunction of specifiers; empty means any version. */
export type SpecifierSet = readonly Specifier[]

/** Source of a regular expression for one specifier (no groups, any case); shared with the requirement grammar. */
export const SPECIFIER_SOURCE = specifierSource()

const SPECIFIER = new RegExp(`^\\s*(?:${SPECIFIER_SOURCE})\\s*$`, 'i')

/**
 * Parses one specifier.
 *
 * @throws BuildError REQUIREMENT_INVALID
 * @see PEP 440, "Version specifiers"
 */
export function parseSpecifier(text: string): Specifier {
  if (!SPECIFIER.test(text)) {
    throw new BuildError('REQUIREMENT_INVALID', `Not a version specifier: \`${text}\``, {
      hint: 'A specifier is one of ~= == != <= >= < > === and a version, such as >=1.2 or ==1.2.*.',
    })
  }
  const trimmed = text.trim()
  const operator = /^(?:===|[~=!<>]=|[<>])/.exec(trimmed)?.[0] as Operator
  const version = trimmed.slice(operator.length).trim()
  const isPrefix = operator !== '===' && version.endsWith('.*')
  return {
    operator,
    text: version,
    version: operator === '===' ? undefined : tryParseVersion(isPrefix ? version.slice(0, -2) : version),
    isPrefix,
  }
}

/**
 * Parses specifiers joined by commas; empty parts are ignored, as pypa/packaging does.
 *
 * @throws BuildError REQUIREMENT_INVALID
 */
export function parseSpecifiers(text: string): SpecifierSet {
  return text
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(parseSpecifier)
}

/** Writes a specifier as it was written, without white space. */
export function formatSpecifier(specifier: Specifier): string {
  return specifier.operator + specifier.text
}

/** Writes a set with its specifiers sorted; of specifiers that mean the same (`==1`, `==1.0`) only the first stays. */
export function formatSpecifiers(set: SpecifierSet): string {
  const texts = new Map<string, string>()
  for (const specifier of [...set].sort((a, b) => (formatSpecifier(a) < formatSpecifier(b) ? -1 : 1))) {
    const meaning = canonicalSpecifier(specifier)
    if (!texts.has(meaning)) texts.set(meaning, formatSpecifier(specifier))
  }
  return [...texts.values()].join(',')
}

/**
 * Tells whether a version fits all specifiers; pre-releases are treated as any other version.
 *
 * @param text  what `===` compares with; the version's normal form is not enough when it was written otherwise
 */
export function matchesSpecifiers(set: SpecifierSet, version: Version, text: string): boolean {
  return set.every((specifier) => matchesSpecifier(specifier, version, text))
}

/** As {@link matchesSpecifiers}, for one specifier. */
export function matchesSpecifier(specifier: Specifier, version: Version | undefined, text: string): boolean {
  if (specifier.operator === '===') return text.toLowerCase() === specifier.text.toLowerCase()
  if (version === undefined || specifier.version === undefined) return false
  return matchesOperator(specifier.operator, specifier.isPrefix, specifier.version, version)
}

/** Zeros at the end mean nothing, but for `~=`, where the number of parts counts. */
function canonicalSpecifier({ operator, version, isPrefix, text }: Specifier): string {
  if (version === undefined || isPrefix) return operator + text
  return operator + (operator === '~=' ? formatVersion(version) : canonicalVersion(version))
}

// The same intervals as pypa/packaging 26: `<V` and `>V` keep away from V's own family of versions.
function matchesOperator(operator: Operator, isPrefix: boolean, bound: Version, version: Version): boolean {
  switch (operator) {
    case '==':
      return isPrefix ? hasPrefix(bound, version) : isEqual(bound, version)
    case '!=':
      return isPrefix ? !hasPrefix(bound, version) : !isEqual(bound, version)
    case '>=':
      return compareVersions(version, bound) >= 0
    case '<=':
      return comparePublic(version, bound) <= 0
    case '>':
      return isAfter(bound, version)
    case '<':
      return compareVersions(version, isPreRelease(bound) ? bound : { ...bound, dev: 0, local: undefined }) < 0
    case '~=':
      return (
        compareVersions(version, bound) >= 0 && isBelowNext({ ...bound, release: bound.release.slice(0, -1) }, version)
      )
    case '===':
      throw new RangeError('=== compares strings, not versions')
  }
}

function isEqual(bound: Version, version: Version): boolean {
  return (bound.local === undefined ? comparePublic(version, bound) : compareVersions(version, bound)) === 0
}

function isAfter(bound: Version, version: Version): boolean {
  if (bound.dev !== undefined || bound.post !== undefined) {
    const next =
      bound.dev !== undefined
        ? { ...bound, dev: increment(bound.dev), local: undefined }
        : { ...bound, post: increment(bound.post ?? 0), dev: 0, local: undefined }
    return compareVersions(version, next) >= 0
  }
  return compareVersions(version, bound) > 0 && !isSamePreRelease(version, bound)
}

function hasPrefix(prefix: Version, version: Version): boolean {
  return compareVersions(version, firstOf(prefix.epoch, prefix.release)) >= 0 && isBelowNext(prefix, version)
}

/** Below the first version with the prefix's last number raised by one. */
function isBelowNext(prefix: Version, version: Version): boolean {
  const last = prefix.release.at(-1) ?? 0
  return compareVersions(version, firstOf(prefix.epoch, [...prefix.release.slice(0, -1), increment(last)])) < 0
}

function firstOf(epoch: WholeNumber, release: readonly WholeNumber[]): Version {
  return { epoch, release, pre: undefined, post: undefined, dev: 0, local: undefined }
}

function increment(value: WholeNumber): WholeNumber {
  const next = BigInt(value) + 1n
  return next <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(next) : next
}

function specifierSource(): string {
  const epoch = 'v?(?:[0-9]+!)?'
  const pre = '(?:[-_.]?(?:alpha|beta|preview|pre|a|b|c|rc)[-_.]?[0-9]*)?'
  const post = '(?:(?:-[0-9]+)|(?:[-_.]?(?:post|rev|r)[-_.]?[0-9]*))?'
  const dev = '(?:[-_.]?dev[-_.]?[0-9]*)?'
  const local = '(?:\\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?'
  return [
    '===\\s*[^\\s;)]*',
    `(?:==|!=)\\s*${epoch}[0-9]+(?:\\.[0-9]+)*(?:\\.\\*|${pre}${post}${dev}${local})`,
    `~=\\s*${epoch}[0-9]+(?:\\.[0-9]+)+${pre}${post}${dev}`,
    `(?:<=|>=|<|>)\\s*${epoch}[0-9]+(?:\\.[0-9]+)*${pre}${post}${dev}`,
  ].join('|')
}
