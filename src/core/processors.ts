import { availableParallelism } from 'node:os'

let working = 0

/** Says that a thread of this process starts to work without a pause. Call what it gives back once, when the thread is done. */
export function occupyProcessor(): () => void {
  working++
  return () => void working--
}

/** Whether a processor is left for one thread more beside those that work, and the one that asks. */
export function hasSpareProcessor(processors: number = availableParallelism()): boolean {
  return working + 1 < processors
}

/**
 * Whether one is left of more than two. Of two, a thread that hashes what is downloaded or read gains nothing while layers are
 * inflated or a base is looked through, and costs 25 to 35 MB from its first stream on, with the slabs on their way to it.
 */
export function hasSpareOfMany(processors: number = availableParallelism()): boolean {
  return processors > 2 && hasSpareProcessor(processors)
}
