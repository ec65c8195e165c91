import type { Config } from '../config/config.ts'
import type { Diagnostic } from '../core/diagnostic.ts'
import type { FileDigests } from '../core/file-digests.ts'
import type { Lock } from '../lock/lock.ts'
import type { Plan } from '../plan/plan.ts'
import type { HeadersFor } from '../python/settings/credentials.ts'
import type { ResolvedIndexSettings } from '../python/settings/index-settings.ts'
import type { ProjectState } from './project-state.ts'

/** A project, loaded, with its answers and plans: everything that is known before bytes move. */
export interface PlannedBuild {
  readonly config: Config
  readonly projectFolder: string
  /** `image:`, else `cog-<folder>`. */
  readonly imageName: string
  /** What the plans were made from. */
  readonly lock: Lock
  /** Whether it is the project's lock file. */
  readonly isLockFile: boolean
  /** One for each platform. */
  readonly plans: readonly Plan[]
  /** Until when the answers can be relied on, in milliseconds since the epoch; null for ever. */
  readonly validUntil: number | null
  /**
   * The files that decided the plans beside the project's own, by absolute path, the configuration first; undefined when
   * they do not say all that decided, or were touched meanwhile.
   */
  readonly files: FileDigests | undefined
  /** What the project's image is made of. */
  readonly state: ProjectState
  /** Credentials for what is fetched. */
  readonly headers: HeadersFor
  /** Which indexes are asked, and with which credentials; undefined when nobody needs to be. */
  readonly settings: ResolvedIndexSettings | undefined
}

/** A configuration, and how to have the answers to what it asks. */
export interface Basis {
  readonly config: Config
  readonly projectFolder: string
  readonly warnings: readonly Diagnostic[]
  readonly answer: () => Promise<Answers>
}

/** What the world says of a configuration. */
export type Answers = Pick<PlannedBuild, 'lock' | 'isLockFile' | 'validUntil' | 'files' | 'headers' | 'settings'>
