import type { ProgressEvent, Report } from '../../core/progress.ts'
import type { Output } from '../command.ts'
import { formatBytes, formatDuration, oneLine, truncate } from './format.ts'
import { TaskModel, type TaskState } from './model.ts'
import { formatTimings } from './timings.ts'

const HEARTBEAT_MS = 15_000

/** A layer of a hundred packages names them all; a line does not. */
const NAME_WIDTH = 72
/** A name that is cut to make room keeps so many characters. */
export const SHORTEST_NAME = 16

/** A stream that has given no more than its header waits for something; a rate would say nothing. */
const HEADER_BYTES = 64

/**
 * Progress as short lines: one when a top task ends, and one every 15 s while something runs.
 *
 * Tasks below the top are summed up in their parent's line, so that a log stays short whatever the image's size.
 */
export function plainProgress(output: Output, now: () => number = Date.now): Report & { close(): void } {
  const model = new TaskModel()
  let lastLineAt = now()
  const write = (line: string): void => {
    lastLineAt = now()
    output.write(`${line}\n`)
  }
  const beat = setInterval(() => {
    if (now() - lastLineAt < HEARTBEAT_MS) return
    const oldest = model.running().at(-1)
    if (oldest !== undefined) write(`  ... ${describeRunning(oldest, now())}`)
  }, 1000)
  beat.unref()
  const report = (event: ProgressEvent): void => {
    const task = model.apply(event, now())
    if (event.type === 'note') write(`${event.level === 'warning' ? 'warning: ' : ''}${event.text}`)
    if (event.type === 'timings') write(formatTimings(event.timings))
    if (event.type === 'output') write(indent(event.text))
    if (event.type === 'end' && task !== undefined && task.parent === undefined) write(describeEnded(task))
  }
  return Object.assign(report, { close: () => clearInterval(beat) })
}

/** What a command prints, set off from this program's own lines. */
export function indent(text: string): string {
  return text
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => `  | ${line}`)
    .join('\n')
}

/**
 * One line for a task that has ended. Why one failed is not repeated here: the command's error says it, once.
 *
 * @param width  columns that the line may take; as many as it needs unless given
 */
export function describeEnded(task: TaskState, width = Number.MAX_SAFE_INTEGER): string {
  const time = formatDuration((task.endedAt ?? task.startedAt) - task.startedAt)
  const size = task.bytes > HEADER_BYTES ? ` ${formatBytes(task.bytes)}` : ''
  const detail = task.outcome === 'failed' || !task.detail ? '' : ` ${task.detail}`
  const mark = MARK[task.outcome ?? 'done']
  const figures = `${detail}${size} (${time})`
  const room = Math.max(SHORTEST_NAME, width - mark.length - 1 - figures.length)
  return `${mark} ${truncate(oneLine(task.name), Math.min(NAME_WIDTH, room))}${figures}`
}

/** One line for a task that runs: done of all, rate, time left. */
export function describeRunning(task: TaskState, now: number, nameWidth = NAME_WIDTH): string {
  const elapsed = now - task.startedAt
  const name = truncate(oneLine(task.name), nameWidth)
  if (task.bytes <= HEADER_BYTES) return `${name} (${formatDuration(elapsed)})`
  const rate = task.bytes / Math.max(elapsed, 1)
  // What a total said beforehand may be a little less than it turns out to be.
  const missing = task.totalBytes === undefined ? undefined : Math.max(0, task.totalBytes - task.bytes)
  const total = task.totalBytes === undefined ? '' : ` of ${formatBytes(task.totalBytes)}`
  const left = missing === undefined ? '' : `, ${formatDuration(missing / rate)} left`
  return `${name} ${formatBytes(task.bytes)}${total}, ${formatBytes(rate * 1000)}/s${left}`
}

const MARK = { done: 'done   ', cached: 'cached ', failed: 'failed ', skipped: 'skipped' } as const
