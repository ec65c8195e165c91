import { createHash } from 'node:crypto'
import { BuildError } from '../src/core/errors.ts'
import type { WheelFiles } from './wheel-files.ts'

/** A package as messages name it. */
export interface PackageLabel {
  readonly name: string
  readonly versionText: string
}

/** One path that two packages fill differently. */
export interface Clash {
  readonly path: string
  /** `name version`, the earlier one first. */
  readonly packages: readonly [string, string]
}

/** That a package fills a path with certain content. Plain JSON. */
export interface Claim {
  readonly path: string
  /** `name version`. */
  readonly package: string
  /** `algorithm=hash`. */
  readonly content: string
}

/** What the files of a wheel claim, in their order. */
export function claimsOf(files: WheelFiles, { name, versionText }: PackageLabel): readonly Claim[] {
  const label = `${name} ${versionText}`
  return [
    ...files.placed.map(({ path, hash }) => ({ path, package: label, content: `${hash.algorithm}=${hash.value}` })),
    ...files.written.map(({ path, bytes }) => ({ path, package: label, content: contentOf(bytes) })),
  ]
}

/**
 * Sorts claims into those that are the first for their path and those that clash with an earlier one. Equal bytes from
 * two packages are one file (`nvidia/__init__.py`), and neither.
 */
export function settleClaims(claims: Iterable<Claim>): {
  readonly owned: ReadonlyMap<string, Claim>
  readonly clashes: readonly Clash[]
} {
  const owned = new Map<string, Claim>()
  const clashes: Clash[] = []
  for (const claim of claims) {
    const owner = owned.get(claim.path)
    if (owner === undefined) owned.set(claim.path, claim)
    else if (owner.content !== claim.content)
      clashes.push({ path: claim.path, packages: [owner.package, claim.package] })
  }
  return { owned, clashes }
}

/** The error for clashes; there is at least one. */
export function explainClashes(clashes: readonly Clash[]): BuildError {
  const [first] = clashes
  if (first === undefined) throw new TypeError('No clash to explain')
  const [one, other] = first.packages
  const more = clashes.length === 1 ? '' : ` (and ${clashes.length - 1} more)`
  return new BuildError(
    'WHEEL_INVALID',
    `${one} and ${other} both install \`/${first.path}\`, with different content${more}`,
    {
      hint: 'They cannot lie in one environment. Require only one of them, or a release of either without this file.',
      data: { clashes: clashes.slice(0, 20) },
    },
  )
}

function contentOf(bytes: Uint8Array): string {
  return `sha256=${createHash('sha256').update(bytes).digest('base64url')}`
}
