import { BuildError } from '../core/errors.ts'

/** A whole number of any length: a `bigint` only where a `number` would lose digits. */
export type WholeNumber = number | bigint

/** Letters of a pre-release in normal form, in their order. */
export type PreReleaseKind = 'a' | 'b' | 'rc'

/** A PEP 440 version, parsed. Compare with {@link compareVersions}; write with {@link formatVersion}. */
export interface Version {
  readonly epoch: WholeNumber
  /** As written, trailing zeros kept: `1.0` and `1.0.0` are equal but print differently. */
  readonly release: readonly WholeNumber[]
  readonly pre: readonly [PreReleaseKind, WholeNumber] | undefined
  readonly post: WholeNumber | undefined
  readonly dev: WholeNumber | undefined
  /** Lower case; numeric parts are numbers. */
  readonly local: readonly (WholeNumber | string)[] | undefined
}

const PATTERN =
  /^v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)(?:[._-]?(alpha|a|beta|b|preview|pre|c|rc)[._-]?([0-9]+)?)?(?:-([0-9]+)|[._-]?(post|rev|r)[._-]?([0-9]+)?)?(?:[._-]?(dev)[._-]?([0-9]+)?)?(?:\+([a-z0-9]+(?:[._-][a-z0-9]+)*))?$/i

const PRE_KINDS: Readonly<Record<string, PreReleaseKind>> = {
  a: 'a',
  alpha: 'a',
  b: 'b',
  beta: 'b',
  c: 'rc',
  rc: 'rc',
  pre: 'rc',
  preview: 'rc',
}

/**
 * Parses a version in any of the spellings that PEP 440 allows, white space around it included.
 *
 * @throws BuildError REQUIREMENT_INVALID
 * @see PEP 440, appendix B
 */
export function parseVersion(text: string): Version {
  const version = tryParseVersion(text)
  if (version === undefined) {
    throw new BuildError('REQUIREMENT_INVALID', `Not a version: \`${text}\``, {
      hint: 'A version looks like 1.2.3, 2.0rc1 or 1.0+cu128 (PEP 440).',
    })
  }
  return version
}

/** As {@link parseVersion}, but answers `undefined` for what is no version. */
export function tryParseVersion(text: string): Version | undefined {
  const match = PATTERN.exec(text.trim())
  if (match === null) return undefined
  const [, epoch, release = '', preLetter, preNumber, post1, postWord, post2, devWord, dev, local] = match
  const preKind = preLetter === undefined ? undefined : PRE_KINDS[preLetter.toLowerCase()]
  return {
    epoch: epoch === undefined ? 0 : wholeNumber(epoch),
    release: release.split('.').map(wholeNumber),
    pre: preKind === undefined ? undefined : [preKind, wholeNumber(preNumber ?? '0')],
    post: post1 !== undefined ? wholeNumber(post1) : postWord !== undefined ? wholeNumber(post2 ?? '0') : undefined,
    dev: devWord === undefined ? undefined : wholeNumber(dev ?? '0'),
    local: local?.toLowerCase().split(/[._-]/).map(localPart),
  }
}

/** Writes a version in normal form: `v1.0-ALPHA.1` becomes `1.0a1`. */
export function formatVersion(version: Version): string {
  const local = version.local === undefined ? '' : `+${version.local.join('.')}`
  return formatPublic(version) + local
}

/** The normal form without the local part. */
export function formatPublic(version: Version): string {
  return (
    formatBase(version) +
    (version.pre === undefined ? '' : version.pre.join('')) +
    (version.post === undefined ? '' : `.post${version.post}`) +
    (version.dev === undefined ? '' : `.dev${version.dev}`)
  )
}

/** Epoch and release only: the version that a pre-, post- or development release belongs to. */
export function formatBase(version: Version): string {
  return `${version.epoch === 0 ? '' : `${version.epoch}!`}${version.release.join('.')}`
}

/** The normal form without trailing zeros of the release, in which equal versions are equal strings. */
export function canonicalVersion(version: Version): string {
  return formatVersion({ ...version, release: trimZeros(version.release) })
}

/** Pre-releases in PEP 440's sense: alphas, betas, candidates and every development release. */
export function isPreRelease(version: Version): boolean {
  return version.pre !== undefined || version.dev !== undefined
}

/**
 * Compares by PEP 440's total order, local parts last.
 *
 * @returns negative, zero or positive, as `Array.prototype.sort` expects
 */
export function compareVersions(a: Version, b: Version): number {
  return comparePublic(a, b) || compareLocal(a.local, b.local)
}

/** As {@link compareVersions}, but blind for local parts. */
export function comparePublic(a: Version, b: Version): number {
  return (
    compareNumbers(a.epoch, b.epoch) ||
    compareReleases(a.release, b.release) ||
    compareNumbers(preRank(a), preRank(b)) ||
    compareNumbers(a.pre?.[1] ?? 0, b.pre?.[1] ?? 0) ||
    compareNumbers(a.post ?? -1, b.post ?? -1) ||
    compareNumbers(a.dev ?? Infinity, b.dev ?? Infinity)
  )
}

/** Tells whether two versions share epoch, release and pre-release part; post and development parts may differ. */
export function isSamePreRelease(a: Version, b: Version): boolean {
  return (
    a.epoch === b.epoch &&
    compareReleases(a.release, b.release) === 0 &&
    a.pre?.[0] === b.pre?.[0] &&
    a.pre?.[1] === b.pre?.[1]
  )
}

/** A development release without pre or post sorts before every alpha; a final release after every candidate. */
function preRank(version: Version): number {
  if (version.pre !== undefined) return { a: 0, b: 1, rc: 2 }[version.pre[0]]
  return version.post === undefined && version.dev !== undefined ? -1 : 3
}

function compareReleases(a: readonly WholeNumber[], b: readonly WholeNumber[]): number {
  const length = Math.max(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const order = compareNumbers(a[i] ?? 0, b[i] ?? 0)
    if (order !== 0) return order
  }
  return 0
}

/** No local part sorts first, a longer one after its own beginning, words before numbers. */
function compareLocal(a: Version['local'], b: Version['local']): number {
  if (a === undefined || b === undefined) return Number(a !== undefined) - Number(b !== undefined)
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [left = 0, right = 0] = [a[i], b[i]]
    const byKind = Number(typeof left !== 'string') - Number(typeof right !== 'string')
    const order = byKind || (left < right ? -1 : left > right ? 1 : 0)
    if (order !== 0) return order
  }
  return a.length - b.length
}

function compareNumbers(a: WholeNumber, b: WholeNumber): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function trimZeros(release: readonly WholeNumber[]): readonly WholeNumber[] {
  let length = release.length
  while (length > 1 && release[length - 1] === 0) length--
  return release.slice(0, length)
}

function wholeNumber(digits: string): WholeNumber {
  if (digits.length < 16) return Number(digits)
  const value = BigInt(digits)
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}

function localPart(part: string): WholeNumber | string {
  return /^[0-9]+$/.test(part) ? wholeNumber(part) : part
}
