import { disk, uploadsWaitedMs } from '../../core/limits.ts'
import type { ProgressEvent, Report, TaskKind, TimeSpent, Timings } from '../../core/progress.ts'
import { formatBytes, formatDuration } from './format.ts'

const KINDS: readonly TaskKind[] = ['resolve', 'download', 'layer', 'upload']
const SPENT: readonly TimeSpent[] = [
  'inflate',
  'hash',
  'wait for bytes',
  'wait for threads',
  'wait for room',
  'wait for layers',
  'wait for destination',
  'wait for network',
  'wait for disk',
  'wait for uploads',
]

/** What is measured with; the process's own clocks unless given. */
export interface Clocks {
  readonly now: () => number
  /** Processor time of the process so far, in milliseconds. */
  readonly cpu: () => number
  /** What writes have waited for their turn so far, in milliseconds. */
  readonly diskWait: () => number
  /** What uploads have. */
  readonly uploadWait: () => number
}

/** Counts where the time goes that the events of a command tell of. */
export interface TimeKeeper {
  /** The same events, passed on. */
  readonly report: Report
  timings(): Timings
}

/** Passes events on and keeps the times of what they tell of. */
export function keepTimes(next: Report, clocks: Clocks = processClocks): TimeKeeper {
  const start = { at: clocks.now(), cpu: clocks.cpu(), turns: turnsOf(clocks) }
  const phases = new Map(KINDS.map((kind) => [kind, new Phase()]))
  const kinds = new Map<string, TaskKind>()
  const spent = new Map<TimeSpent, number>()
  const count = (event: ProgressEvent): void => {
    switch (event.type) {
      case 'start':
        if (event.kind === undefined) return
        kinds.set(event.id, event.kind)
        phases.get(event.kind)?.start(clocks.now())
        return
      case 'bytes':
        phaseOf(event.id)?.bytes(event.id, event.bytes)
        return
      case 'end':
        phaseOf(event.id)?.end(clocks.now())
        kinds.delete(event.id)
        return
      case 'spent':
        spent.set(event.on, (spent.get(event.on) ?? 0) + event.ms)
        return
      case 'output':
      case 'note':
      case 'timings':
        return
    }
  }
  const phaseOf = (id: string): Phase | undefined => {
    const kind = kinds.get(id)
    return kind === undefined ? undefined : phases.get(kind)
  }
  return {
    report: (event) => {
      count(event)
      next(event)
    },
    timings: () => {
      const turns = turnsOf(clocks).map(([on, ms], n) => [on, ms - (start.turns[n]?.[1] ?? 0)] as const)
      const all = new Map([...spent, ...turns.filter(([, ms]) => ms > 0)])
      return {
        wholeMs: Math.round(clocks.now() - start.at),
        cpuMs: Math.round(clocks.cpu() - start.cpu),
        phases: [...phases].flatMap(([kind, phase]) => (phase.tasks === 0 ? [] : [{ kind, ...phase.summary() }])),
        spent: SPENT.flatMap((on) => (all.has(on) ? [{ on, ms: Math.round(all.get(on) ?? 0) }] : [])),
      }
    },
  }
}

/** What limiters of the process count, whatever command it is for. */
function turnsOf({ diskWait, uploadWait }: Clocks): readonly (readonly [TimeSpent, number])[] {
  return [
    ['wait for disk', diskWait()],
    ['wait for uploads', uploadWait()],
  ]
}

/** Timings as a table for people. */
export function formatTimings({ wholeMs, cpuMs, phases, spent }: Timings): string {
  const lines = [`time spent: ${formatDuration(wholeMs)}, of processors ${formatDuration(cpuMs)}`]
  for (const { kind, busyMs, tasks, bytes } of phases) {
    const amount =
      bytes === 0 ? '' : `  ${formatBytes(bytes)}, ${formatBytes(bytes / Math.max(busyMs / 1000, 0.001))}/s`
    lines.push(`  ${kind.padEnd(18)}${formatDuration(busyMs).padStart(7)}  ${String(tasks).padStart(4)} x${amount}`)
  }
  if (spent.length > 0) lines.push('  of layers and uploads, added up:')
  for (const { on, ms } of spent) lines.push(`    ${on.padEnd(20)}${formatDuration(ms).padStart(7)}`)
  return lines.join('\n')
}

/** Tasks of one kind, which overlap. */
class Phase {
  tasks = 0
  #running = 0
  #since = 0
  #busyMs = 0
  readonly #bytes = new Map<string, number>()

  start(now: number): void {
    this.tasks++
    if (this.#running++ === 0) this.#since = now
  }

  bytes(id: string, bytes: number): void {
    this.#bytes.set(id, bytes)
  }

  end(now: number): void {
    if (--this.#running === 0) this.#busyMs += now - this.#since
  }

  summary(): { readonly busyMs: number; readonly tasks: number; readonly bytes: number } {
    const bytes = [...this.#bytes.values()].reduce((sum, each) => sum + each, 0)
    return { busyMs: Math.round(this.#busyMs), tasks: this.tasks, bytes }
  }
}

const processClocks: Clocks = {
  now: () => performance.now(),
  cpu: () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  },
  diskWait: () => disk.waitedMs(),
  uploadWait: uploadsWaitedMs,
}
