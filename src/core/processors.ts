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
