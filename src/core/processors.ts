import { availableParallelism } from 'node:os'
import { readCgroupLimits, type CgroupLimits } from './cgroup.ts'
import { BuildError } from './errors.ts'

/** What a machine and its user say about processors. */
export interface ProcessorFacts {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Those that this process may be scheduled on. */
  readonly available: number
  readonly limits: CgroupLimits
}

/** What a build has without threads that inflate, with room for what the kernel counts beside it. */
const BASE_BYTES = 160 * 2 ** 20
/** What one more thread costs: its heap, its chunks, and the slabs of the layer that it is fed from. */
const THREAD_BYTES = 32 * 2 ** 20

/**
 * How many processors work may be spread over: what `LAYERWRIGHT_PROCESSORS` says, else those that the process may be
 * scheduled on, or the share of them that its control groups leave it.
 *
 * @throws BuildError USAGE when the variable is no number
 */
export function countProcessors({ env, available, limits }: ProcessorFacts): number {
  const said = env['LAYERWRIGHT_PROCESSORS']
  if (!said) return Math.max(1, Math.min(available, Math.ceil(limits.processors ?? available)))
  if (!/^[1-9]\d{0,3}$/.test(said)) {
    throw new BuildError('USAGE', `LAYERWRIGHT_PROCESSORS is not a number of processors: ${said}`, {
      hint: 'Write a whole number from 1 to 9999, or leave it away.',
    })
  }
  return Number(said)
}

/**
 * How many threads may inflate and hash: one for each processor, `most` of them, and no more than the memory that the process is
 * limited to has room for.
 */
export function countThreads(processorCount: number, { memoryBytes }: CgroupLimits, most: number): number {
  const room = memoryBytes === undefined ? most : Math.floor((memoryBytes - BASE_BYTES) / THREAD_BYTES)
  return Math.max(1, Math.min(most, processorCount, room))
}

let facts: ProcessorFacts | undefined

function ownFacts(): ProcessorFacts {
  return (facts ??= { env: process.env, available: availableParallelism(), limits: readCgroupLimits() })
}

/** How many processors this process has: see {@link countProcessors}. */
export function processors(): number {
  return countProcessors(ownFacts())
}

/** How many threads this process may have: see {@link countThreads}. */
export function threadsOf(most: number): number {
  return countThreads(processors(), ownFacts().limits, most)
}

let working = 0

/** Says that a thread of this process starts to work without a pause. Call what it gives back once, when the thread is done. */
export function occupyProcessor(): () => void {
  working++
  return () => void working--
}

/** Whether a processor is left for one thread more beside those that work, and the one that asks. */
export function hasSpareProcessor(count: number = processors()): boolean {
  return working + 1 < count
}

/**
 * Whether a thread may hash what is downloaded or read beside three that inflate layers, or while a base is looked through: where
 * one processor is left of more than two, and threads are small.
 *
 * Of two processors such a thread gains nothing there and costs 25 to 35 MB, with the slabs on their way to it. From Node 22 on a
 * thread's heap takes 10 MB before it has done anything: with this one torch's closure took 252 to 261 MB at its highest.
 */
export function hasSpareOfMany(count: number = processors(), node: string = process.versions.node): boolean {
  return count > 2 && !hasLargeThreads(node) && hasSpareProcessor(count)
}

/** Whether a thread's heap takes 10 MB before it has done anything, as from Node 22 on. */
export function hasLargeThreads(node: string = process.versions.node): boolean {
  return Number.parseInt(node) >= 22
}
