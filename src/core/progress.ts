/**
 * What happens during an operation, as one stream of plain objects.
 *
 * Every progress view (bars, lines, JSON) is drawn from these alone; `--progress json` prints them one a line.
 * A task starts once and ends once; `parent` makes a tree. `output` is what a command of the user's prints, in whole lines.
 */
export type ProgressEvent =
  | {
      readonly type: 'start'
      readonly id: string
      readonly name: string
      readonly parent?: string
      readonly totalBytes?: number
      readonly kind?: TaskKind
    }
  | { readonly type: 'bytes'; readonly id: string; readonly bytes: number; readonly totalBytes?: number }
  | {
      readonly type: 'end'
      readonly id: string
      readonly outcome: 'done' | 'cached' | 'failed' | 'skipped'
      readonly detail?: string
    }
  | { readonly type: 'output'; readonly id: string; readonly text: string }
  | { readonly type: 'note'; readonly level: 'info' | 'warning'; readonly text: string; readonly code?: string }
  | { readonly type: 'spent'; readonly on: TimeSpent; readonly ms: number }
  | { readonly type: 'timings'; readonly timings: Timings }

/** What a task does, for those that count how long each kind of work takes. */
export type TaskKind = 'resolve' | 'download' | 'layer' | 'upload'

/**
 * What layers spend time on: work of theirs, and waiting for somebody; what uploads do: waiting for bytes, and for whoever takes
 * them; then waiting for a turn at network, disk and server.
 */
export type TimeSpent =
  | 'inflate'
  | 'hash'
  | 'wait for bytes'
  | 'wait for threads'
  | 'wait for room'
  | 'wait for layers'
  | 'wait for destination'
  | 'wait for network'
  | 'wait for disk'
  | 'wait for uploads'

/** Where the time of a command went. */
export interface Timings {
  readonly wholeMs: number
  /** Processor time of all threads. */
  readonly cpuMs: number
  readonly phases: readonly {
    readonly kind: TaskKind
    /** How long at least one such task ran. */
    readonly busyMs: number
    readonly tasks: number
    readonly bytes: number
  }[]
  /** Summed over layers and uploads, which run side by side. */
  readonly spent: readonly { readonly on: TimeSpent; readonly ms: number }[]
}

/** Takes events; never throws and never waits. */
export type Report = (event: ProgressEvent) => void

/** A report that nobody reads. */
export const silent: Report = () => {}

const told = new WeakMap<Report, Set<string>>()

/** Reports a note unless the same text went there before: several parts of an operation may come upon one thing. */
export function reportOnce(report: Report, note: Extract<ProgressEvent, { readonly type: 'note' }>): void {
  const texts = told.get(report) ?? new Set()
  told.set(report, texts)
  if (!texts.has(note.text)) report(note)
  texts.add(note.text)
}

/** A report whose tasks belong to another task: views that show the top alone leave them out. */
export function nested(report: Report, parent: string): Report {
  return (event) => report(event.type === 'start' && event.parent === undefined ? { ...event, parent } : event)
}

let counter = 0

/** One running task of a {@link Report}. */
export interface Task {
  readonly id: string
  /** Tells how many bytes are done in all. */
  bytes(done: number, total?: number): void
  end(outcome?: 'done' | 'cached' | 'failed' | 'skipped', detail?: string): void
}

/** What can be said of a task when it starts. */
export interface TaskOptions {
  readonly parent?: string | undefined
  readonly totalBytes?: number | undefined
  readonly kind?: TaskKind | undefined
}

/** Starts a task. Its id is unique in this process. */
export function startTask(report: Report, name: string, options: TaskOptions = {}): Task {
  const id = `t${++counter}`
  report({
    type: 'start',
    id,
    name,
    ...(options.parent === undefined ? {} : { parent: options.parent }),
    ...(options.totalBytes === undefined ? {} : { totalBytes: options.totalBytes }),
    ...(options.kind === undefined ? {} : { kind: options.kind }),
  })
  return {
    id,
    bytes: (done, total) =>
      report({ type: 'bytes', id, bytes: done, ...(total === undefined ? {} : { totalBytes: total }) }),
    end: (outcome = 'done', detail) =>
      report({ type: 'end', id, outcome, ...(detail === undefined ? {} : { detail }) }),
  }
}

/** Runs work as a task: ends it as done, or as failed when the work throws (and rethrows). */
export async function runTask<T>(
  report: Report,
  name: string,
  work: (task: Task) => Promise<T>,
  options: TaskOptions = {},
): Promise<T> {
  const task = startTask(report, name, options)
  try {
    const result = await work(task)
    task.end()
    return result
  } catch (error) {
    task.end('failed', error instanceof Error ? error.message : String(error))
    throw error
  }
}
