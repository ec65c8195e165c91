import type { ExpectedFile, LayerCheck } from '../layer-check.ts'

/** Gives out checks that run on other threads. */
export interface CheckPool {
  check(expected: readonly ExpectedFile[], what: string): LayerCheck
  /** Ends the threads. */
  close(): Promise<void>
}
