import type { IndexPlan } from './index/client.ts'
import type { InstalledDistribution } from './installed.ts'
import type { Requirement } from './requirement.ts'
import type { Target } from './target.ts'

/** A requirement that the user stated, and what belongs to its line. */
export interface RootRequirement {
  readonly requirement: Requirement
  /** `sha256:...`: the only files that may be taken; empty for any. */
  readonly hashes?: readonly string[]
  /** Where it was read: `requirements.txt:3`. */
  readonly origin?: string
}

/** Everything that decides a resolution besides the indexes' answers. */
export interface ResolutionInput {
  readonly target: Target
  readonly requirements: readonly RootRequirement[]
  /** Narrow a package wherever it comes from, without asking for it. */
  readonly constraints?: readonly RootRequirement[]
  /** Replace every requirement on the package, whoever states it. */
  readonly overrides?: readonly Requirement[]
  readonly indexes: IndexPlan
  /** ISO 8601: files uploaded at this time or later do not exist. */
  readonly excludeNewer?: string
  /** Pre-releases compete with final releases; otherwise they are taken only when nothing else fits. */
  readonly allowsPreReleases?: boolean
  /** Every file must have a hash that the user stated; also so when any requirement states one. */
  readonly requiresHashes?: boolean
  /** Normalised names, or `:all:`, whose wheels are refused (pip's `--no-binary`). */
  readonly noBinary?: readonly string[]
  /** Normalised names, or `:all:`, whose sources are refused (pip's `--only-binary`). */
  readonly onlyBinary?: readonly string[]
  /** Normalised name to the version that is taken as long as it fits, though a better one exists. */
  readonly preferences?: ReadonlyMap<string, string>
  /**
   * What the target has already. Such a version is preferred to every other as long as it fits, and is no part of the lock.
   * Not used where hashes are required, since nobody stated any for it.
   */
  readonly installed?: readonly InstalledDistribution[]
}
