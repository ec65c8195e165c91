import { rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { systemErrorCode } from '../core/errors.ts'
import { isLeft, temporaryName } from '../core/temporary-name.ts'
import { listBlobs, listCaches, listTemporary, statFile, type StoredBlob, type StoredFile } from './contents.ts'
import { oldestLease } from './lease.ts'
import { listStepCaches, removeStepCache } from './step-caches.ts'
import type { Store } from './store.ts'

/** What prune takes away. Without a bound: everything that is not in use. */
export interface PruneOptions {
  /** Only what is over this size, least recently used first. */
  readonly maxBytes?: number | undefined
  /** Only what was not used for this long. */
  readonly olderThanMs?: number | undefined
  /** Say what would be taken away and take nothing. */
  readonly isDryRun?: boolean | undefined
  readonly now?: () => number
}

/** What prune took away, or would. */
export interface PruneResult {
  readonly removedFiles: number
  readonly removedBytes: number
  /** Blobs, small answers and caches of `run` steps that are left. */
  readonly keptBytes: number
}

/** Times of files that were written one after the other may lie in the wrong order by a tick of the kernel's clock. */
const TICK_MS = 1_000
/** A temporary file whose process cannot be looked for, and that nobody wrote to for this long, is of no use to anybody. */
const ABANDONED_MS = 24 * 60 * 60 * 1000
/** A download that is cut is taken up again, or given up, in much less. */
const PARTIAL_MS = 10 * 60 * 1000

/**
 * Makes the store smaller, least recently used first.
 *
 * A cache of `run` steps goes as a whole. Local images are kept. So is everything that was used since the oldest running build began: a build marks what it looks
 * at, and {@link holdStore} says that it runs.
 */
export async function pruneStore(store: Store, options: PruneOptions = {}): Promise<PruneResult> {
  const nowMs = (options.now ?? Date.now)()
  const leaseMs = await oldestLease(store.folder, nowMs)
  const inUseSinceMs = leaseMs === undefined ? Number.POSITIVE_INFINITY : leaseMs - TICK_MS
  // A file of this very millisecond has a time with a fraction, later than a clock without one.
  const unusedSinceMs = options.olderThanMs === undefined ? Number.POSITIVE_INFINITY : nowMs - options.olderThanMs
  const blobs = await listBlobs(store)
  const answers = [...(await listCaches(store)).values()].flat()
  const steps = new Set(await listStepCaches(store.folder))
  const candidates = [...blobs.filter(({ role }) => role !== 'image'), ...answers, ...steps]
    .filter(({ usedMs }) => usedMs < inUseSinceMs && usedMs <= unusedSinceMs)
    .sort((a, b) => a.usedMs - b.usedMs || (a.path < b.path ? -1 : 1))

  const total = sum([...blobs, ...answers, ...steps])
  let keptBytes = total
  const remove = (file: StoredFile): Promise<boolean> =>
    steps.has(file) ? removeStepCache(store.folder, file) : removeUnused(store, file)
  const removed: StoredFile[] = await removeAbandoned(store, nowMs, options)
  for (const file of candidates) {
    if (options.maxBytes !== undefined && keptBytes <= options.maxBytes) break
    if (options.isDryRun !== true && !(await remove(file))) continue
    removed.push(file)
    keptBytes -= file.sizeBytes
  }
  return { removedFiles: removed.length, removedBytes: sum(removed), keptBytes }
}

/**
 * Takes a file away unless it was used since it was looked at: it is moved aside, looked at again, and moved back when
 * somebody marked it in between.
 */
async function removeUnused(store: Store, file: StoredFile): Promise<boolean> {
  const aside = join(store.folder, 'tmp', temporaryName('.prune'))
  try {
    await rename(file.path, aside)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false
    throw error
  }
  const again = await statFile(aside)
  if (again !== undefined && again.usedMs > file.usedMs) {
    await rename(aside, file.path)
    return false
  }
  await rm(aside, { force: true })
  return true
}

/**
 * Takes away what nobody is writing any more: at once what a process left that is gone, whatever the bounds say. Parts of
 * downloads are worth something to the next build, and stay when a bound is given.
 */
async function removeAbandoned(store: Store, nowMs: number, options: PruneOptions): Promise<StoredFile[]> {
  const isBounded = options.maxBytes !== undefined || options.olderThanMs !== undefined
  const isAbandoned = ({ path, usedMs }: StoredFile): boolean => {
    const name = basename(path)
    const keptMs = name.startsWith('partial-') && !isBounded ? PARTIAL_MS : ABANDONED_MS
    return isLeft(name) || usedMs < nowMs - keptMs
  }
  const removed: StoredFile[] = []
  for (const file of (await listTemporary(store)).filter(isAbandoned)) {
    if (options.isDryRun !== true && !(await removeLeftover(file.path))) continue
    removed.push(file)
  }
  return removed
}

/** Whether it is gone. What another user's build left stays for that user. */
async function removeLeftover(path: string): Promise<boolean> {
  try {
    await rm(path, { recursive: true, force: true })
    return true
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'EACCES' || code === 'EPERM') return false
    throw error
  }
}

function sum(files: readonly Pick<StoredBlob, 'sizeBytes'>[]): number {
  return files.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0)
}
