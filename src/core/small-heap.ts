import v8 from 'node:v8'
import type { Worker } from 'node:worker_threads'

let isKept = false

/**
 * Keeps the heaps of this process near to what they hold, for no time that could be measured: what lives shortly is
 * collected in a young generation that stays as small as it starts (30 MB less, empty nearly always), and the old one is
 * looked through when it has grown by half, where V8 waits for it to double and more.
 *
 * For a process of our own: a program that uses the library decides itself.
 */
export function keepHeapSmall(): void {
  isKept = true
  v8.setFlagsFromString('--semi-space-growth-factor=1')
  v8.setFlagsFromString('--heap-growing-percent=50')
}

/** Says it again once a thread has started, where it was said: V8 sets the factor back to 2 whenever it makes a heap. */
export function keepHeapSmallBeside(worker: Worker): void {
  if (isKept) worker.once('online', keepHeapSmall)
}
