/* oxlint-disable unicorn/require-post-message-target-origin -- a thread has no origin; the rule is for windows */
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { keepHeapSmallBeside } from '../core/small-heap.ts'

/**
 * The program of a decompressing thread, as text: Node 20 runs no TypeScript in a worker, and the tests run the sources.
 *
 * It asks for input chunk by chunk (`need`) and sends output while it has credit, so neither side piles up bytes.
 */
const PROGRAM = `
const { parentPort, workerData } = require('node:worker_threads')
const { XzReadableStream } = require(workerData)
let input, credit, wake, hasEnded
parentPort.on('message', (message) => {
  if (message.start) void run(message.start)
  else if (message.credit) { credit += message.credit; wake?.() }
  else if (hasEnded) return
  else if (message.end) { hasEnded = true; input.close() }
  else input.enqueue(message.chunk)
})
async function run(initialCredit) {
  credit = initialCredit
  hasEnded = false
  try {
    const compressed = new ReadableStream({
      start(controller) { input = controller },
      pull() { parentPort.postMessage({ need: true }) },
    }, { highWaterMark: 2 })
    for await (const chunk of new XzReadableStream(compressed)) {
      if (chunk.length === 0) continue
      while (credit <= 0) await new Promise((resolve) => { wake = resolve })
      credit--
      parentPort.postMessage({ chunk }, [chunk.buffer])
    }
    hasEnded = true
    parentPort.postMessage({ done: true })
  } catch (error) {
    hasEnded = true
    parentPort.postMessage({ error: String(error?.message ?? error) })
  }
}
`

/** Output chunks (64 KiB each) that may be under way to the reader. */
const CREDIT = 32
const IDLE_WORKERS = 2
/** More threads than cores win nothing, and each holds a dictionary of some megabytes. */
const MAX_WORKERS = Math.max(2, availableParallelism())
/** The thread's own heap holds next to nothing: chunks lie outside of it. */
const LIMITS = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 }

type FromWorker =
  | { readonly need: true }
  | { readonly chunk: Uint8Array }
  | { readonly done: true }
  | { readonly error: string }

const idle: Worker[] = []
let running = 0
/** Who waits for a thread, in order: a layer's package that is read now always stands before the one it reads ahead. */
const waiting: (() => void)[] = []

async function takeTurn(): Promise<void> {
  if (running < MAX_WORKERS) running++
  else await new Promise<void>((resolve) => waiting.push(resolve))
}

function endTurn(): void {
  const next = waiting.shift()
  if (next === undefined) running--
  else next()
}

/**
 * Decompresses one .xz stream in a thread of its own, so that several packages and the event loop run side by side.
 *
 * @throws RangeError when the stream is not xz, is cut off or is damaged
 */
export async function* decompressXz(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  await takeTurn()
  try {
    yield* decompressInWorker(source)
  } finally {
    endTurn()
  }
}

async function* decompressInWorker(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const worker = idle.pop() ?? startWorker()
  const input = source[Symbol.asyncIterator]()
  const inbox = new Inbox(worker, input)
  let isReusable = false
  worker.ref()
  try {
    worker.postMessage({ start: CREDIT })
    for (;;) {
      const message = await inbox.next()
      if ('chunk' in message) {
        yield message.chunk
        worker.postMessage({ credit: 1 })
      } else if ('done' in message) {
        await inbox.fed()
        isReusable = true
        return
      } else {
        throw new RangeError(`Damaged xz data (${message.error})`)
      }
    }
  } finally {
    inbox.close()
    if (isReusable && idle.length < IDLE_WORKERS) idle.push(worker)
    else await worker.terminate()
    worker.unref()
    await input.return?.()
  }
}

function startWorker(): Worker {
  const require = createRequire(import.meta.url)
  const worker = new Worker(PROGRAM, {
    eval: true,
    workerData: require.resolve('xz-decompress'),
    resourceLimits: LIMITS,
  })
  keepHeapSmallBeside(worker)
  worker.unref()
  return worker
}

/** Hands a worker its input when it asks, whether or not anybody reads; and makes its output awaitable one by one. */
class Inbox {
  readonly #worker: Worker
  readonly #input: AsyncIterator<Uint8Array>
  readonly #messages: Exclude<FromWorker, { readonly need: true }>[] = []
  #feeding: Promise<void> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined
  #wake: (() => void) | undefined
  readonly #onMessage = (message: FromWorker): void => {
    if ('need' in message) {
      this.#feeding = this.#feeding.then(() => this.#feed()).catch((error: unknown) => this.#fail(error))
      return
    }
    this.#messages.push(message)
    this.#wake?.()
  }
  readonly #onError = (error: unknown): void => this.#fail(error)
  readonly #onExit = (): void => this.#fail(new RangeError('The decompressing thread ended early'))

  constructor(worker: Worker, input: AsyncIterator<Uint8Array>) {
    this.#worker = worker
    this.#input = input
    worker.on('message', this.#onMessage).on('error', this.#onError).on('exit', this.#onExit)
  }

  async next(): Promise<Exclude<FromWorker, { readonly need: true }>> {
    for (;;) {
      const message = this.#messages.shift()
      if (message !== undefined) return message
      if (this.#failure !== undefined) throw this.#failure.error
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Settles when no input is on its way to the worker. */
  fed(): Promise<void> {
    return this.#feeding
  }

  close(): void {
    this.#worker.off('message', this.#onMessage).off('error', this.#onError).off('exit', this.#onExit)
  }

  async #feed(): Promise<void> {
    const next = await this.#input.next()
    if (next.done === true) this.#worker.postMessage({ end: true })
    else this.#worker.postMessage({ chunk: next.value })
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#wake?.()
  }
}
