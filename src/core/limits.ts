import pLimit from 'p-limit'
import { hasLargeThreads, threadsOf } from './processors.ts'
import { threadLanes } from './sha256/lanes.ts'

/**
 * How much of the machine a build uses at a time, in one place: the network by downloads and by uploads, the processors by
 * threads, the disk by writes.
 */
export const LIMITS = {
  /** Files that are fetched at once, with those of which parts are asked for: one for each upload that waits for it, and two. */
  downloads: 6,
  /**
   * Blobs on their way to one server at a time, whatever number of images and destinations they belong to. More gains little
   * on fast lines and trips rate limits on slow ones.
   */
  uploads: 4,
  /** Layers that are made at once unless said otherwise: one inflates while another waits for its download. */
  layers: 3,
  /**
   * The same with large wheels among them: one more where streams are hashed beside each other, so that each of two threads has two. On
   * Node 22 and newer there is no memory for it.
   */
  get checkedLayers(): number {
    return threadLanes().areWide && !hasLargeThreads() ? this.layers + 1 : this.layers
  },
  /** Threads that inflate and hash, no more than layers are made at once: each one costs memory, whatever the machine. */
  get threads(): number {
    return threadsOf(hasLargeThreads() ? 2 : 3)
  },
  /** Writes and flushes at once. They block threads of Node's own pool, which has 4: one is left for reading. */
  writes: 3,
} as const

/** Lets so many pieces of work at a resource at a time; the others wait for their turn, and the waiting is counted. */
export interface Limiter {
  <T>(work: () => Promise<T>): Promise<T>
  /** Begins work that waits for no turn, since others wait for what it holds; it takes a place as soon as one is free. */
  atOnce<T>(work: () => Promise<T>): Promise<T>
  /** What work has waited for its turn so far, added up, in milliseconds. */
  waitedMs(): number
}

/** Makes a limiter of a resource. @param onWait hears how long a piece of work has waited, when its turn comes */
export function makeLimiter(most: number, onWait: (ms: number) => void = () => {}): Limiter {
  const limit = pLimit(most)
  let waitedMs = 0
  const run = <T>(work: () => Promise<T>): Promise<T> => {
    if (limit.activeCount + limit.pendingCount < most) return limit(work)
    const askedAt = performance.now()
    return limit(() => {
      const ms = performance.now() - askedAt
      waitedMs += ms
      onWait(ms)
      return work()
    })
  }
  const atOnce = <T>(work: () => Promise<T>): Promise<T> => {
    const working = work()
    // How it ends is for the caller.
    void limit(() => working.catch(() => {}))
    return working
  }
  return Object.assign(run, { atOnce, waitedMs: () => waitedMs })
}

/** Takes a place until it is given back. */
export function acquire(limit: Limiter): Promise<() => void> {
  return new Promise((resolve) => {
    void limit(() => new Promise<void>((release) => resolve(release)))
  })
}

/** The disk of this process: no write waits for anything but the disk in it, so whoever holds a place gives it back. */
export const disk = makeLimiter(LIMITS.writes)

let uploadWaitMs = 0

/** Makes a limiter of uploads, at one server or to one destination. */
export function makeUploadLimiter(most: number = LIMITS.uploads): Limiter {
  return makeLimiter(most, (ms) => (uploadWaitMs += ms))
}

/** What uploads of this process have waited for their turn so far, added up, in milliseconds. */
export function uploadsWaitedMs(): number {
  return uploadWaitMs
}
