import { isMainThread } from 'node:worker_threads'
import type { DigestAlgorithm } from 'oci-spec-types'
import { BuildError } from '../errors.ts'
import { hasSpareOfMany, hasSpareProcessor, occupyProcessor } from '../processors.ts'
import { threadStarter } from '../thread.ts'
import { ThreadDigester, type HashPort } from './digester.ts'
import type { HashAnswer, HashRequest } from './messages.ts'

/**
 * The thread that hashes what passes through unchanged, for all streams: one keeps up with two streams of a fast network, and
 * each costs memory. It starts when it is first needed and keeps no process alive.
 */
export class HashPool {
  readonly #start: () => HashPort
  #thread: HashThread | undefined

  constructor(start: () => HashPort) {
    this.#start = start
  }

  /**
   * Begins to hash on the thread.
   *
   * @returns undefined where every processor has something to do already: the own thread is as good then
   */
  digester(algorithm: DigestAlgorithm, hasRoom: () => boolean = hasSpareProcessor): ThreadDigester | undefined {
    if (this.#thread?.isEnded === true) this.#thread = undefined
    const isWorking = (this.#thread?.running ?? 0) > 0
    if (!isWorking && !hasRoom()) return undefined
    this.#thread ??= new HashThread(this.#start())
    return this.#thread.digester(algorithm)
  }
}

/** A thread that hashes, and the streams that it hashes. */
export class HashThread {
  isEnded = false
  readonly #port: HashPort
  readonly #occupy: () => () => void
  readonly #digesters = new Map<number, ThreadDigester>()
  #lastId = 0
  #release: () => void = () => {}

  /** @param occupy  says that the thread begins to work, unless that is known */
  constructor(port: HashPort, occupy: () => () => void = occupyProcessor) {
    this.#port = port
    this.#occupy = occupy
    port.onAnswer((answer) => this.#digesters.get(answer.id)?.take(answer))
    port.onEnd((error) => {
      this.isEnded = true
      const failure = new BuildError('INTERNAL', 'A thread that hashes has ended early', { cause: error })
      for (const digester of this.#digesters.values()) digester.fail(failure)
    })
  }

  get running(): number {
    return this.#digesters.size
  }

  digester(algorithm: DigestAlgorithm): ThreadDigester {
    if (this.running === 0) {
      this.#release = this.#occupy()
      this.#port.hold(true)
    }
    const id = ++this.#lastId
    const digester = new ThreadDigester(id, algorithm, this.#port, () => this.#ended(id))
    this.#digesters.set(id, digester)
    this.#port.send({ type: 'start', id, algorithm })
    return digester
  }

  #ended(id: number): void {
    if (!this.#digesters.delete(id) || this.running > 0) return
    this.#release()
    this.#port.hold(false)
  }
}

let pool: HashPool | 'none' | undefined

/** Begins to hash on another thread. @returns undefined where none would be of use: see {@link HashPool} */
export function startThreadDigester(algorithm: DigestAlgorithm, hasRoom?: () => boolean): ThreadDigester | undefined {
  pool ??= makePool() ?? 'none'
  return pool === 'none' ? undefined : pool.digester(algorithm, hasRoom)
}

/** The same beside work that fills two processors: see {@link hasSpareOfMany}. */
export function startDigesterOfMany(algorithm: DigestAlgorithm): ThreadDigester | undefined {
  return startThreadDigester(algorithm, hasSpareOfMany)
}

/** How threads that hash are started. @param program  the compiled form of `thread.ts`  @returns as {@link threadStarter} */
export function hashThreadStarter(program: URL): (() => HashPort) | undefined {
  return threadStarter<HashRequest, HashAnswer>(program, { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 })
}

/** A thread has none of its own, and without its program (sources run without a build) everything is hashed on the own thread. */
function makePool(): HashPool | undefined {
  const start = isMainThread ? hashThreadStarter(new URL('./thread.js', import.meta.url)) : undefined
  return start === undefined ? undefined : new HashPool(start)
}
