import type { DigestAlgorithm } from 'oci-spec-types'
import { BuildError } from '../../src/core/errors.ts'
import type { HashPort, ThreadDigester } from '../../src/core/hash-thread/digester.ts'
import type { HashAnswer } from '../../src/core/hash-thread/messages.ts'
import { HashThread } from '../../src/core/hash-thread/pool.ts'
import { LIMITS } from '../../src/core/limits.ts'
import { occupyProcessor } from '../../src/core/processors.ts'
import { threadLanes, type Lanes } from '../../src/core/sha256/lanes.ts'
import { threadStarter, type Thread } from '../../src/core/thread.ts'
import type { LayerCheck, LayerFindings } from '../layer-check.ts'
import type { CheckAnswer, CheckRequest, SentError, ThreadTask } from './messages.ts'

/** Gives out work on layers that runs on other threads: checks, and compression that is spoken to as a check is. */
export interface CheckPool {
  check(task: ThreadTask, options?: CheckOptions): LayerCheck
  /**
   * Hashes a stream on a thread that checks, beside what that one hashes anyway.
   *
   * @returns undefined where that gains nothing, or no thread has anything to check
   */
  digester(algorithm: DigestAlgorithm): ThreadDigester | undefined
  /** Starts as many threads as layers are made at once, and waits until they run. */
  ready(): Promise<void>
  /** Ends the threads; checks that still run fail. */
  close(): Promise<void>
}

/** How work is given out. */
export interface CheckOptions {
  /** Whether what feeds this work is slower than a thread, so that half of the threads are enough for more of its kind. */
  readonly mayShare?: boolean | undefined
  /** About how many bytes will be written: of threads with as many layers, work goes to the one that has least before it. */
  readonly expectedBytes?: number | undefined
}

/** A thread, or what stands in for one. */
export type CheckThread = Thread<CheckRequest, CheckAnswer>

/** How threads are made. */
export interface PoolOptions {
  /** As `LIMITS` says unless given. */
  readonly threads?: number | undefined
  readonly start?: (() => CheckThread) | undefined
  /** How those threads hash; as this one unless given. */
  readonly lanes?: Pick<Lanes, 'areMany' | 'areWide'> | undefined
}

/** Bytes of one layer that may wait in a thread: enough that it never starves, little against the memory budget. */
const WINDOW_BYTES = 2 ** 20

/** What files are read in. */
const PIECE_BYTES = 1 << 18

/**
 * Makes a pool of threads that inflate and hash layers. Threads start when they are first needed, and do not keep the
 * process alive.
 *
 * @returns undefined where the thread's program is not there (sources run without a build): check on the own thread then
 */
export function makeCheckPool(options: PoolOptions = {}): CheckPool | undefined {
  const start =
    options.start ?? threadStarter(new URL('./check-worker.js', import.meta.url), { maxYoungGenerationSizeMb: 8 })
  if (start === undefined) return undefined
  const { threads: most = LIMITS.threads, lanes = threadLanes() } = options
  const threads: PooledThread[] = []
  const started = (): PooledThread => {
    const thread = new PooledThread(start())
    threads.push(thread)
    return thread
  }
  // Less to do comes first. Where many streams are hashed in the time of one, fewer layers do: those of one leave half of the lanes empty.
  const isBefore = (a: PooledThread, b: PooledThread): boolean =>
    lanes.areWide && a.running !== b.running ? a.running < b.running : a.leftBytes < b.leftBytes
  return {
    check: (task, { mayShare = false, expectedBytes = 0 } = {}) => {
      const alive = threads.filter(({ isEnded }) => !isEnded)
      let thread = alive.find(({ running }) => running === 0)
      if (thread === undefined && alive.length < (mayShare ? Math.ceil(most / 2) : most)) {
        thread = started()
      }
      thread ??= alive.reduce((a, b) => (isBefore(b, a) ? b : a))
      return thread.check(task, expectedBytes)
    },
    digester: (algorithm) => {
      const working = lanes.areMany ? threads.filter(({ isEnded, running }) => !isEnded && running > 0) : []
      if (working.length === 0) return undefined
      return working.reduce((a, b) => (b.hashing < a.hashing ? b : a)).digester(algorithm)
    },
    ready: async () => {
      const enough = Math.min(most, LIMITS.layers)
      while (threads.filter(({ isEnded }) => !isEnded).length < enough) started()
      await Promise.all(threads.map(({ online }) => online))
    },
    close: async () => void (await Promise.all(threads.map((thread) => thread.close()))),
  }
}

/** One check as the sending side sees it. */
interface Running {
  waiting: number
  /** What is still to be written, as far as that was said; it may turn out to be more. */
  leftBytes: number
  /** Output that nobody has taken yet. */
  made: Uint8Array[]
  /** Memory of output, to be filled again when the output was looked at; and that of which this is so when more is asked for. */
  ours: ArrayBuffer[]
  lent: ArrayBuffer[]
  /** Wakes whoever waits for room or for the end. */
  wake: () => void
  findings: LayerFindings | undefined
  failure: unknown
}

class PooledThread {
  isEnded = false
  readonly #thread: CheckThread
  readonly #checks = new Map<number, Running>()
  #lastId = 0
  #release: () => void = () => {}
  /** Memory to send chunks in. */
  readonly #free: ArrayBuffer[] = []
  readonly #hashes: HashThread
  #isHashing = false
  #hashed: (answer: HashAnswer) => void = () => {}

  constructor(thread: CheckThread) {
    this.#thread = thread
    this.#hashes = this.#makeHashes()
    thread.onAnswer((answer) => this.#take(answer))
    thread.onEnd((error) => {
      this.isEnded = true
      const failure = new BuildError('INTERNAL', 'A thread that checks layers has ended early', { cause: error })
      for (const [id, running] of this.#checks) this.#finish(id, running, { failure })
    })
  }

  get online(): Promise<void> {
    return this.#thread.online
  }

  get running(): number {
    return this.#checks.size
  }

  /** Streams that it hashes beside what it checks. */
  get hashing(): number {
    return this.#hashes.running
  }

  /** What it has before it; a check of unknown size counts as one piece. */
  get leftBytes(): number {
    return [...this.#checks.values()].reduce((sum, { leftBytes }) => sum + Math.max(leftBytes, PIECE_BYTES), 0)
  }

  close(): Promise<void> {
    return this.#thread.close()
  }

  check(task: ThreadTask, expectedBytes: number): LayerCheck {
    const id = ++this.#lastId
    const running: Running = {
      waiting: 0,
      leftBytes: expectedBytes,
      made: [],
      ours: [],
      lent: [],
      wake: () => {},
      findings: undefined,
      failure: undefined,
    }
    if (this.#checks.size === 0) this.#release = occupyProcessor()
    this.#checks.set(id, running)
    this.#hold()
    this.#thread.send({ type: 'start', id, task })
    const until = async (isReached: () => boolean): Promise<void> => {
      while (running.failure === undefined && !isReached())
        await new Promise<void>((resolve) => (running.wake = resolve))
      if (running.failure !== undefined) throw running.failure
    }
    return {
      write: async (chunk) => {
        // The caller keeps its bytes for the blob, so the thread gets a copy: a memory copy is 50 times as fast as hashing.
        for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
          await until(() => running.waiting < WINDOW_BYTES)
          const bytes = this.#copy(chunk.subarray(at, at + PIECE_BYTES))
          running.waiting += bytes.length
          running.leftBytes -= bytes.length
          this.#thread.send({ type: 'chunk', id, bytes }, [bytes.buffer])
        }
      },
      end: async () => {
        this.#thread.send({ type: 'end', id })
        await until(() => running.findings !== undefined)
        if (running.findings === undefined) throw new TypeError('A check ended without an answer')
        return running.findings
      },
      made: () => {
        this.#free.push(...running.lent)
        running.lent = running.ours.splice(0)
        return running.made.splice(0)
      },
      close: () => {
        if (!this.#checks.has(id)) return
        this.#thread.send({ type: 'close', id })
        this.#finish(id, running, { failure: new TypeError('The check was closed') })
      },
    }
  }

  digester(algorithm: DigestAlgorithm): ThreadDigester {
    return this.#hashes.digester(algorithm)
  }

  /** The same thread as one that hashes. The processor is counted for what it checks. */
  #makeHashes(): HashThread {
    const port: HashPort = {
      send: (request) => this.#thread.send({ type: 'hash', request }),
      onAnswer: (listener) => (this.#hashed = listener),
      onEnd: (listener) => this.#thread.onEnd(listener),
      hold: (isBusy) => {
        this.#isHashing = isBusy
        this.#hold()
      },
    }
    return new HashThread(port, () => () => {})
  }

  /** The process waits for it for as long as it has anything to do. */
  #hold(): void {
    this.#thread.hold(this.#isHashing || this.#checks.size > 0)
  }

  #copy(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
    const memory = this.#free.pop() ?? new ArrayBuffer(PIECE_BYTES)
    const bytes = new Uint8Array(memory, 0, chunk.length)
    bytes.set(chunk)
    return bytes
  }

  #take(answer: CheckAnswer): void {
    if (answer.type === 'hashed') return this.#hashed(answer.answer)
    const running = this.#checks.get(answer.id)
    // Filled again and again: left to the garbage collector, such memory grows to many times what is in use.
    if (answer.type === 'taken' && (running === undefined || !answer.madeBytes)) this.#free.push(answer.bytes.buffer)
    if (running === undefined) return
    switch (answer.type) {
      case 'taken':
        running.waiting -= answer.bytes.length
        if (answer.madeBytes) {
          running.made.push(new Uint8Array(answer.bytes.buffer, 0, answer.madeBytes))
          running.ours.push(answer.bytes.buffer)
        }
        running.wake()
        return
      case 'made':
        running.made.push(answer.bytes)
        return
      case 'done':
        this.#finish(answer.id, running, { findings: answer.findings })
        return
      case 'failed':
        this.#finish(answer.id, running, { failure: received(answer.error) })
    }
  }

  #finish(id: number, running: Running, outcome: Partial<Pick<Running, 'findings' | 'failure'>>): void {
    Object.assign(running, outcome)
    if (this.#checks.delete(id) && this.#checks.size === 0) {
      this.#release()
      this.#hold()
    }
    running.wake()
  }
}

function received({ code, message, hint }: SentError): Error {
  return code === undefined ? new Error(message) : new BuildError(code, message, { hint })
}
