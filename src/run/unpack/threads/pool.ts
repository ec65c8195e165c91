/* oxlint-disable unicorn/require-post-message-target-origin -- a thread has no origin; the rule is for windows */
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { BuildError } from '../../../core/errors.ts'
import { occupyProcessor } from '../../../core/processors.ts'
import { keepHeapSmallBeside } from '../../../core/small-heap.ts'
import type { ApplyResult } from '../apply-layer.ts'
import { DependentLayerError } from '../dependent-layer.ts'
import type { UnpackableLayer, UnpackOptions } from '../unpack-layer.ts'
import type { SentUnpackError, UnpackAnswer, UnpackRequest } from './messages.ts'

/** A thread that unpacks; another end of messages will do in tests. */
export interface UnpackThread {
  send(request: UnpackRequest): void
  onAnswer(listener: (answer: UnpackAnswer) => void): void
  /** Called once when the thread is gone, with the error that ended it. */
  onEnd(listener: (error: unknown) => void): void
  /** Ends the thread; it writes nothing any more once this resolves. */
  close(): Promise<void>
}

/** Threads that unpack layers side by side. */
export interface UnpackPool {
  /** How many layers are unpacked at once; more calls than these are a mistake of the caller. */
  readonly size: number
  /** As `unpackLayer`, in a thread that is free. */
  unpack(folder: string, layer: UnpackableLayer, options: UnpackOptions): Promise<ApplyResult>
  /** Ends all threads. */
  close(): Promise<void>
}

/** What a pool is made with. */
export interface UnpackPoolOptions {
  /** The machine's cores, four at most, unless given. */
  readonly size?: number | undefined
  readonly start?: (() => UnpackThread) | undefined
}

/**
 * Makes a pool of threads; they start when they are first needed.
 *
 * @returns undefined where the thread's program is not there (sources run without a build): unpack on the own thread then
 */
export function makeUnpackPool(options: UnpackPoolOptions = {}): UnpackPool | undefined {
  const start = options.start ?? workerStarter()
  if (start === undefined) return undefined
  const threads = new Set<UnpackThread>()
  const free: UnpackThread[] = []
  return {
    size: options.size ?? Math.max(1, Math.min(4, availableParallelism())),
    unpack: async (folder, layer, options) => {
      const thread = free.pop() ?? start()
      threads.add(thread)
      try {
        const result = await unpackOn(thread, folder, layer, options)
        free.push(thread)
        return result
      } catch (error) {
        // It may still be writing; nothing may follow the answer of a failure.
        await thread.close()
        threads.delete(thread)
        throw error
      }
    },
    close: async () => void (await Promise.all([...threads].map((thread) => thread.close()))),
  }
}

function workerStarter(): (() => UnpackThread) | undefined {
  const program = new URL('./unpack-worker.js', import.meta.url)
  return existsSync(fileURLToPath(program)) ? () => startWorker(program) : undefined
}

function startWorker(program: URL): UnpackThread {
  // What a thread makes is let go at once; room for more would only be filled.
  const worker = new Worker(program, { resourceLimits: { maxYoungGenerationSizeMb: 4 } })
  keepHeapSmallBeside(worker)
  return {
    send: (request) => worker.postMessage(request),
    onAnswer: (listener) => void worker.removeAllListeners('message').on('message', listener),
    onEnd: (listener) => {
      worker.removeAllListeners('error').on('error', listener)
      worker.removeAllListeners('exit').on('exit', () => listener(new Error('The unpacking thread ended early')))
    },
    close: async () => void (await worker.terminate()),
  }
}

async function unpackOn(
  thread: UnpackThread,
  folder: string,
  { descriptor, diffId, open }: UnpackableLayer,
  { note, signal, ...options }: UnpackOptions,
): Promise<ApplyResult> {
  const input = open({ signal })[Symbol.asyncIterator]()
  const release = occupyProcessor()
  try {
    return await new Promise((resolve, reject) => {
      let feeding = Promise.resolve()
      const feed = async (): Promise<void> => {
        const next = await input.next()
        thread.send(next.done === true ? { type: 'end' } : { type: 'chunk', bytes: next.value })
      }
      thread.onAnswer((answer) => {
        switch (answer.type) {
          case 'need':
            feeding = feeding.then(feed).catch(reject)
            return
          case 'note':
            return note?.(answer.text)
          case 'done':
            return resolve(answer.result)
          case 'failed':
            return reject(fromSent(answer.error))
        }
      })
      thread.onEnd(reject)
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
      thread.send({ type: 'start', folder, layer: { descriptor, diffId }, options })
    })
  } finally {
    release()
    await input.return?.()
  }
}

function fromSent({ kind, code, message, hint, data }: SentUnpackError): Error {
  if (kind === 'dependent') return new DependentLayerError(message)
  return code === undefined ? new Error(message) : new BuildError(code, message, { hint, data })
}
