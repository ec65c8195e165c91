/* oxlint-disable unicorn/require-post-message-target-origin -- a thread has no origin; the rule is for windows */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { LIMITS } from '../../core/limits.ts'
import { packageRoot } from '../../core/package-root.ts'
import { keepHeapSmallBeside } from '../../core/small-heap.ts'
import type { FromXzThread, ToXzThread } from './messages.ts'

/** Output that may be under way to the reader. Filled again and again: made anew, such memory piles up. */
const CHUNKS = 5
const CHUNK_BYTES = 1 << 18
const IDLE_THREADS = 2
/** Longer than between two packages, shorter than a download. */
const REST_MS = 1000
/** One package is read ahead of another's even where a single thread may inflate. */
const LEAST_THREADS = 2
/** The thread's own heap holds next to nothing: chunks and the window lie outside of it. */
const HEAP = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 }

const idle: XzWorker[] = []
let running = 0
/** Who waits for a thread, in order: a layer's package that is read now always stands before the one it reads ahead. */
const waiting: (() => void)[] = []

async function takeTurn(): Promise<void> {
  if (running < Math.max(LEAST_THREADS, LIMITS.threads)) running++
  else await new Promise<void>((resolve) => waiting.push(resolve))
}

function endTurn(): void {
  const next = waiting.shift()
  if (next === undefined) running--
  else next()
}

/**
 * Decompresses one .xz file in a thread of its own, so that several packages and the event loop run side by side.
 *
 * The memory of a chunk is used again when the next is asked for.
 *
 * @throws RangeError when the data is not xz, is cut off or is damaged
 */
export async function* decompressXz(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  await takeTurn()
  try {
    yield* decompressInThread(source)
  } finally {
    endTurn()
  }
}

/**
 * Ends the threads that are kept for another file, where none is expected soon; files that are read now are left alone.
 *
 * @returns how many, when what they held is free
 */
export async function endIdleXzThreads(): Promise<number> {
  const ended = idle.splice(0)
  for (const { resting } of ended) clearTimeout(resting)
  await Promise.all(ended.map(({ thread }) => thread.terminate()))
  return ended.length
}

async function* decompressInThread(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const worker = wake() ?? startWorker()
  const input = source[Symbol.asyncIterator]()
  const inbox = new Inbox(worker, input)
  let isReusable = false
  worker.thread.ref()
  try {
    inbox.send({ type: 'start' })
    for (const memory of worker.memory.splice(0)) inbox.give(memory)
    for (;;) {
      const message = await inbox.next()
      if (message.type === 'chunk') {
        yield message.bytes
        inbox.give(message.bytes.buffer)
      } else if (message.type === 'done') {
        await inbox.fed()
        isReusable = true
        return
      } else {
        throw new RangeError(message.message)
      }
    }
  } finally {
    inbox.close()
    // A thread that was left in the middle of a file has output under way.
    if (isReusable && idle.length < IDLE_THREADS) rest(worker)
    else await worker.thread.terminate()
    worker.thread.unref()
    await input.return?.()
  }
}

/** Keeps a thread for the next file, for a while: it holds 15 MB, and wheels may follow the packages for minutes. */
function rest(worker: XzWorker): void {
  idle.push(worker)
  worker.resting = setTimeout(() => {
    idle.splice(idle.indexOf(worker), 1)
    void worker.thread.terminate()
  }, REST_MS).unref()
}

function wake(): XzWorker | undefined {
  const worker = idle.pop()
  clearTimeout(worker?.resting)
  return worker
}

interface XzWorker {
  readonly thread: Worker
  resting?: NodeJS.Timeout
  /** Memory that the thread is to get; none once it has it. */
  readonly memory: ArrayBuffer[]
}

function startWorker(): XzWorker {
  // Its compiled form: Node 20 runs no TypeScript in a thread, and the tests run the sources.
  const thread = new Worker(join(packageRoot(), 'dist/src/debian/xz/thread.js'), { resourceLimits: HEAP })
  keepHeapSmallBeside(thread)
  thread.unref()
  return { thread, memory: Array.from({ length: CHUNKS }, () => new ArrayBuffer(CHUNK_BYTES)) }
}

/** Hands a thread its input when it asks, whether or not anybody reads; and makes its output awaitable one by one. */
class Inbox {
  readonly #thread: Worker
  readonly #input: AsyncIterator<Uint8Array>
  readonly #messages: Exclude<FromXzThread, { readonly type: 'need' }>[] = []
  /** Input that was read and not sent yet. */
  #rest: Uint8Array = new Uint8Array(0)
  #feeding: Promise<void> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined
  #wake: (() => void) | undefined
  readonly #onMessage = (message: FromXzThread): void => {
    if (message.type === 'need') {
      // In the order of the file: more than one piece may be asked for at a time.
      this.#feeding = this.#feeding.then(() => this.#feed(message.memory)).catch((error: unknown) => this.#fail(error))
      return
    }
    this.#messages.push(message)
    this.#wake?.()
  }
  readonly #onError = (error: unknown): void => this.#fail(error)
  readonly #onExit = (): void => this.#fail(new RangeError('The decompressing thread ended early'))

  constructor({ thread }: XzWorker, input: AsyncIterator<Uint8Array>) {
    this.#thread = thread
    this.#input = input
    thread.on('message', this.#onMessage).on('error', this.#onError).on('exit', this.#onExit)
  }

  send(message: ToXzThread, transfer: readonly ArrayBuffer[] = []): void {
    this.#thread.postMessage(message, transfer)
  }

  /** Gives the thread memory for output. */
  give(memory: ArrayBuffer): void {
    this.send({ type: 'memory', memory }, [memory])
  }

  async next(): Promise<Exclude<FromXzThread, { readonly type: 'need' }>> {
    for (;;) {
      const message = this.#messages.shift()
      if (message !== undefined) return message
      if (this.#failure !== undefined) throw this.#failure.error
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Settles when no input is on its way to the thread. */
  fed(): Promise<void> {
    return this.#feeding
  }

  close(): void {
    this.#thread.off('message', this.#onMessage).off('error', this.#onError).off('exit', this.#onExit)
  }

  async #feed(memory: ArrayBuffer): Promise<void> {
    while (this.#rest.length === 0) {
      const next = await this.#input.next()
      if (next.done === true) return this.send({ type: 'end', memory }, [memory])
      this.#rest = next.value
    }
    const bytes = new Uint8Array(memory, 0, Math.min(memory.byteLength, this.#rest.length))
    bytes.set(this.#rest.subarray(0, bytes.length))
    this.#rest = this.#rest.subarray(bytes.length)
    this.send({ type: 'input', bytes }, [memory])
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#wake?.()
  }
}
