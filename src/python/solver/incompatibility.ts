import type { VersionSet } from './version-set.ts'

/** A package as the solver sees it: a name, or a name with one extra (`uvicorn[standard]`), or {@link ROOT}. */
export type PackageKey = string

/** The package that requires what the user asked for. No package name can be like it. */
export const ROOT: PackageKey = ''

/** Why an incompatibility is true. */
export type Cause =
  | { readonly kind: 'root' }
  | {
      readonly kind: 'dependency'
      readonly dependant: PackageKey
      readonly dependency: PackageKey
      /** The requirement in words: `torch>=2.1`. */
      readonly text: string
    }
  /** The dependency can never be met: nothing of that name, or no version in that range. */
  | {
      readonly kind: 'unmet'
      readonly dependant: PackageKey
      readonly dependency: PackageKey
      readonly text: string
      readonly why: Unmet
    }
  /** The versions exist but cannot be used: no fitting wheel, yanked, unreadable metadata. */
  | { readonly kind: 'unusable'; readonly package: PackageKey; readonly reason: string }
  | { readonly kind: 'conflict'; readonly left: Incompatibility; readonly right: Incompatibility }

/** Why a dependency can never be met. */
export type Unmet = { readonly kind: 'not-found' } | { readonly kind: 'no-version'; readonly available: string }

/** Sets that cannot all hold at once, one for each package named. */
export interface Incompatibility {
  readonly terms: ReadonlyMap<PackageKey, VersionSet>
  readonly cause: Cause
}

/**
 * The rule of resolution: what follows from two incompatibilities that share a package.
 *
 * @see PubGrub, "Conflict Resolution"
 */
export function resolveIncompatibilities(
  left: Incompatibility,
  right: Incompatibility,
  shared: PackageKey,
): Incompatibility {
  const terms = new Map(left.terms)
  for (const [key, set] of right.terms) {
    const own = terms.get(key)
    if (own === undefined) terms.set(key, set)
    else if (key !== shared) terms.set(key, own.intersect(set))
  }
  const [a, b] = [left.terms.get(shared), right.terms.get(shared)]
  const union = a === undefined || b === undefined ? undefined : a.union(b)
  if (union === undefined || union.isAll) terms.delete(shared)
  else terms.set(shared, union)
  return { terms, cause: { kind: 'conflict', left, right } }
}
