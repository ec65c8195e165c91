import type { Digest } from 'oci-spec-types'
import type { Config } from '../config/config.ts'
import type { Diagnostic } from '../core/diagnostic.ts'
import { compressedCache } from '../core/compressed-cache.ts'
import { areUnchanged, type FileDigests } from '../core/file-digests.ts'
import type { ProgressEvent } from '../core/progress.ts'
import { isStillValid } from '../core/freshness.ts'
import type { Lock } from '../lock/lock.ts'
import type { Store } from '../store/store.ts'
import { KeptLocks } from './kept-locks.ts'
import { memoryKey, type BuildIdentity } from './memory.ts'

/** What a plan is made from besides the project's files: its configuration and what the world answered. Plain JSON. */
export interface PlanBasis {
  readonly config: Config
  readonly projectFolder: string
  readonly lock: Lock
  /** Whether it is the project's lock file. */
  readonly isLockFile: boolean
  /** Milliseconds since the epoch; later the world must be asked again. Null for never. */
  readonly validUntil: number | null
  /** Everything that it was read from; the configuration first. */
  readonly files: FileDigests
  /** What the configuration's reader has to say of it. */
  readonly warnings: readonly Diagnostic[]
  /** What was said while the answers were found. */
  readonly notes: readonly ProgressEvent[]
}

/** Remembers the basis of a build, so that a change of code alone need not read configuration and answers anew. */
export interface BasisMemory {
  /** The basis as long as every file that it was read from is as it was, and its answers are young enough. */
  load(now: number): Promise<PlanBasis | undefined>
  save(basis: PlanBasis): Promise<void>
}

/** The memory of one build in a store: same project, same options, same settings of the environment. */
export function basisMemory(identity: BuildIdentity, store: Store): BasisMemory {
  const cache = compressedCache(store.cache('plans'))
  const locks = new KeptLocks(store.cache('locks'))
  const key = memoryKey(identity)
  return {
    load: async (now) => {
      const basis = parse(await cache.get(key))
      if (basis === undefined || !isStillValid(basis.validUntil, now) || !areUnchanged(basis.files)) return undefined
      const lock = await locks.find(basis.lock, basis.projectFolder)
      return lock && { ...basis, lock }
    },
    save: async (basis) => {
      const lock = await locks.keep(basis.lock, basis.projectFolder)
      await cache.set(key, Buffer.from(JSON.stringify({ ...basis, lock } satisfies KeptBasis)))
    },
  }
}

/** A basis as it is kept: with the name of its lock. */
type KeptBasis = Omit<PlanBasis, 'lock'> & { readonly lock: Digest }

/** Our own cache entry; anything odd about it means that there is none. */
function parse(bytes: Buffer | undefined): KeptBasis | undefined {
  if (bytes === undefined) return undefined
  try {
    const basis = JSON.parse(bytes.toString('utf8')) as Partial<KeptBasis>
    const isWhole = basis.config !== undefined && basis.lock !== undefined && basis.files !== undefined
    return isWhole ? (basis as KeptBasis) : undefined
  } catch {
    // Our own entry, damaged: planned anew.
    return undefined
  }
}
