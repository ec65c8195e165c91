/* oxlint-disable unicorn/require-post-message-target-origin -- a thread has no origin; the rule is for windows */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker, type ResourceLimits } from 'node:worker_threads'
import { keepHeapSmallBeside } from './small-heap.ts'

/** A thread that is asked and answers, or what stands in for one. */
export interface Thread<Request, Answer> {
  send(request: Request, transfer?: readonly ArrayBuffer[]): void
  onAnswer(listener: (answer: Answer) => void): void
  /** Kept when the thread runs, or has ended before it did. */
  readonly online: Promise<void>
  /** Called when the thread ends, with the error that ended it if there is one. */
  onEnd(listener: (error: unknown) => void): void
  /** Whether the process is to wait for this thread. */
  hold(isBusy: boolean): void
  close(): Promise<void>
}

/**
 * How to start threads of a program. None of them keeps the process alive unless it is held.
 *
 * @param program  its compiled form; Node 20 runs no TypeScript in a thread
 * @param limits   what a thread makes is let go at once; room for more would only be filled
 * @returns undefined where the program is not there: sources run without a build
 */
export function threadStarter<Request, Answer>(
  program: URL,
  limits: ResourceLimits,
): (() => Thread<Request, Answer>) | undefined {
  return existsSync(fileURLToPath(program)) ? () => startThread(program, limits) : undefined
}

function startThread<Request, Answer>(program: URL, resourceLimits: ResourceLimits): Thread<Request, Answer> {
  const worker = new Worker(program, { resourceLimits })
  keepHeapSmallBeside(worker)
  const online = new Promise<void>((resolve) => worker.once('online', resolve).once('exit', resolve))
  worker.unref()
  return {
    online,
    send: (request, transfer) => worker.postMessage(request, transfer ?? []),
    onAnswer: (listener) => void worker.on('message', listener),
    onEnd: (listener) => {
      worker.on('error', listener)
      worker.on('exit', () => listener(undefined))
    },
    hold: (isBusy) => (isBusy ? worker.ref() : worker.unref()),
    close: async () => void (await worker.terminate()),
  }
}
