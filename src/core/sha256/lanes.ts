import { createHash, type Hash } from 'node:crypto'
import { isMainThread } from 'node:worker_threads'
import { loadSha256, MOST_JOBS, STATE_BYTES, type LoadedSha256 } from '../native/addon.ts'

/** A hash of one stream. */
export interface StreamHash {
  /** Takes the next bytes, which stay as they are until the lanes were flushed, or have settled. */
  update(bytes: Uint8Array): void
  /** The hash of all bytes; once, last. @throws TypeError for a stream that is closed */
  digest(): Buffer
  /** The hash is not wanted any more, and what comes is ignored. May be called at any time. */
  close(): void
}

/** Somebody who hashes streams on this thread. */
export interface LaneUser {
  /** @param algorithm  as of `node:crypto`; only SHA-256 goes beside others */
  open(algorithm?: string): StreamHash
  /**
   * Has what waits of this user hashed, beside what others on this thread want to have hashed: that is waited for, but not for long.
   *
   * @returns undefined when everything is hashed already
   */
  settled(): Promise<void> | undefined
  /** What hashing has taken so far, in milliseconds: a share of what several streams took together. */
  readonly spentMs: number
  /** No more will be hashed. May be called several times. */
  close(): void
}

/** Streams that are hashed beside each other by one thread; what is more is hashed by Node, each for itself. */
const MOST_STREAMS = 256

/** Less than this does not wait for others: waiting costs as much as hashing it. */
const WORTH_WAITING_BYTES = 1 << 16

/**
 * So long the streams of patient users wait for one that has been coming, where lanes are wide. Longer waits of others fill more lanes as
 * well, but leave processors idle meanwhile.
 */
const MOST_WAIT_MS = 4

/** Who has not come so often in a row is not waited for until it comes again: its bytes take longer to arrive than to be hashed. */
const MOST_VAIN_WAITS = 8

/** Bytes that wait, and whose they are. */
interface Waiting {
  readonly user: User
  readonly index: number
  bytes: Uint8Array
}

/** Whose bytes may wait for room beside those of others. */
export interface UserOptions {
  /** Nothing waits for it but more of the same. */
  readonly isPatient?: boolean | undefined
}

/**
 * Hashes streams of one thread beside each other: eight of them take little longer than one on a processor with wide registers and
 * without instructions for SHA-256, and two little longer than one where it has these. What is to be hashed waits until somebody needs
 * it, and all that waits is hashed at once.
 *
 * Where the addon is not there, each stream is hashed by Node as its bytes come.
 */
export class Lanes {
  readonly #loaded: LoadedSha256 | undefined
  readonly #mayWait: boolean
  readonly #states = new Uint8Array(new ArrayBuffer(STATE_BYTES * MOST_STREAMS))
  readonly #left = new Uint32Array(MOST_JOBS)
  readonly #free: number[] = []
  /** What waits, each stream once. */
  #waiting: Waiting[] = []
  /** Users that have more to hash soon, and how often they were waited for in vain since they came last. */
  readonly #coming = new Map<User, number>()
  /** Users that cannot go on before what waits of theirs is hashed. */
  readonly #waiters = new Map<User, () => void>()
  /** Ends the wait for others. */
  #stopWaiting: (() => void) | undefined

  /**
   * @param loaded   what hashes several at once; null for Node alone
   * @param mayWait  whether bytes may wait for a few milliseconds: not on a thread that others are fed by
   */
  constructor(loaded: LoadedSha256 | null | undefined = loadSha256(), mayWait = true) {
    this.#loaded = loaded ?? undefined
    this.#mayWait = mayWait
    for (let index = MOST_STREAMS - 1; index >= 0; index--) this.#free.push(index)
  }

  /** Whether streams gain by being hashed beside others. */
  get areMany(): boolean {
    return this.#loaded !== undefined
  }

  /** Whether one stream more beside the two of a layer that is checked costs next to nothing. */
  get areWide(): boolean {
    return (this.#loaded?.lanes ?? 1) > 2
  }

  /** Begins to hash for somebody; to be closed. */
  user({ isPatient = false }: UserOptions = {}): LaneUser {
    const user: User = {
      spentMs: 0,
      isPatient,
      open: (algorithm = 'sha256') => this.#open(user, algorithm),
      settled: () => this.#settled(user),
      close: () => {
        // Who waits for this one waits no longer.
        if (this.#coming.delete(user) && this.#waiters.size > 0 && this.#allWait()) this.#flush()
      },
    }
    if (!isPatient) this.#coming.set(user, 0)
    return user
  }

  #open(user: User, algorithm: string): StreamHash {
    const index = this.#loaded === undefined || algorithm !== 'sha256' ? undefined : this.#free.pop()
    if (this.#loaded === undefined || index === undefined) return new PlainHash(user, algorithm)
    const { native, way } = this.#loaded
    native.start(this.#states, index)
    const isWaiting = (): boolean => this.#waiting.some((job) => job.index === index)
    let isOpen = true
    const close = (): void => {
      if (!isOpen) return
      isOpen = false
      this.#waiting = this.#waiting.filter((job) => job.index !== index)
      this.#free.push(index)
    }
    return {
      update: (bytes) => {
        // Its state may be another stream's by now.
        if (!isOpen) return
        if (this.#waiting.length === MOST_JOBS || isWaiting()) this.#flush(true)
        this.#waiting.push({ user, index, bytes })
      },
      digest: () => {
        if (!isOpen) throw new TypeError('A stream that is closed has no hash')
        if (isWaiting()) this.#flush(true)
        const digest = Buffer.alloc(32)
        native.finish(way, this.#states, index, digest)
        close()
        return digest
      },
      close,
    }
  }

  /** @param isWhole  patient users wait no longer, either */
  #flush(isWhole = false): void {
    const jobs = this.#waiting
    this.#stopWaiting?.()
    this.#stopWaiting = undefined
    try {
      if (this.#loaded !== undefined && jobs.length > 0) this.#waiting = this.#hash(this.#loaded, jobs, isWhole)
    } finally {
      for (const [user, wake] of this.#waiters) {
        if (this.#waiting.some((job) => job.user === user)) continue
        this.#waiters.delete(user)
        wake()
      }
    }
    // Of somebody patient, beside others that were not.
    if (this.#waiters.size > 0) this.#wait()
  }

  /** @returns what is left of the jobs */
  #hash({ native, way }: LoadedSha256, jobs: readonly Waiting[], isWhole: boolean): Waiting[] {
    const sorted = [...jobs.filter(({ user }) => !user.isPatient), ...jobs.filter(({ user }) => user.isPatient)]
    const indexes = sorted.map(({ index }) => index)
    const chunks = sorted.map(({ bytes }) => bytes)
    const urgent = isWhole ? jobs.length : sorted.filter(({ user }) => !user.isPatient).length
    const startedAt = performance.now()
    native.update(way, this.#states, indexes, chunks, jobs.length, urgent, this.#left)
    const spentMs = performance.now() - startedAt
    const all = sizeOf(jobs)
    for (const { user, bytes } of jobs) if (all > 0) user.spentMs += (spentMs * bytes.length) / all
    return sorted.flatMap((job, at) => {
      const left = this.#left[at] ?? 0
      return left === 0 ? [] : [{ ...job, bytes: job.bytes.subarray(job.bytes.length - left) }]
    })
  }

  #settled(user: User): Promise<void> | undefined {
    const ours = this.#waiting.filter((job) => job.user === user)
    if (ours.length === 0) return undefined
    this.#coming.set(user, 0)
    if (sizeOf(ours) < WORTH_WAITING_BYTES) {
      this.#flush(user.isPatient)
      return undefined
    }
    let wake = (): void => {}
    const settled = new Promise<void>((resolve) => (wake = resolve))
    this.#waiters.set(user, wake)
    if (this.#allWait()) this.#flush()
    else if (this.#stopWaiting === undefined) this.#wait()
    return this.#waiters.has(user) ? settled : undefined
  }

  /** For others, but not for long. */
  #wait(): void {
    const end = (): void => {
      for (const [user, inVain] of this.#coming) {
        if (this.#waiters.has(user)) continue
        if (inVain + 1 < MOST_VAIN_WAITS) this.#coming.set(user, inVain + 1)
        else this.#coming.delete(user)
      }
      this.#flush()
    }
    const isUrgent = [...this.#waiters.keys()].some(({ isPatient }) => !isPatient)
    if (this.areWide && this.#mayWait && !isUrgent) {
      const timer = setTimeout(end, MOST_WAIT_MS)
      this.#stopWaiting = () => clearTimeout(timer)
    } else {
      // For what has come by now.
      const immediate = setImmediate(end)
      this.#stopWaiting = () => clearImmediate(immediate)
    }
  }

  #allWait(): boolean {
    return [...this.#coming.keys()].every((user) => this.#waiters.has(user))
  }
}

interface User extends LaneUser {
  spentMs: number
  readonly isPatient: boolean
}

function sizeOf(jobs: readonly Waiting[]): number {
  return jobs.reduce((sum, { bytes }) => sum + bytes.length, 0)
}

/** A stream that Node hashes as it comes. */
class PlainHash implements StreamHash {
  readonly #user: User
  readonly #hash: Hash
  #isOpen = true

  constructor(user: User, algorithm: string) {
    this.#user = user
    this.#hash = createHash(algorithm)
  }

  update(bytes: Uint8Array): void {
    if (!this.#isOpen) return
    const startedAt = performance.now()
    this.#hash.update(bytes)
    this.#user.spentMs += performance.now() - startedAt
  }

  digest(): Buffer {
    if (!this.#isOpen) throw new TypeError('A stream that is closed has no hash')
    this.#isOpen = false
    return this.#hash.digest()
  }

  close(): void {
    this.#isOpen = false
  }
}

let own: Lanes | undefined

/** Those of the calling thread. */
export function threadLanes(): Lanes {
  return (own ??= new Lanes(loadSha256(), !isMainThread))
}
