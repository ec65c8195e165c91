import v8 from 'node:v8'
import type { Worker } from 'node:worker_threads'

/**
 * Keeps the heaps of this process near to what they hold, for no time that could be measured: what lives shortly is
 * collected in a young generation that stays as small as it starts (30 MB less, empty nearly always), and the old one is
 * looked through when it has grown by half, where V8 waits for it to double and more.
 */
export function keepHeapSmall(): void {
  v8.setFlagsFromString('--semi-space-growth-factor=1')
  v8.setFlagsFromString('--heap-growing-percent=50')
}

/** Says it again once a thread has started: V8 sets the factor back to 2 whenever it makes a heap. */
export function keepHeapSmallBeside(worker: Worker): void {
  worker.once('online', keepHeapSmall)
}
