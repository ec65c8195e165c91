import type { ProgressEvent, Report } from '../../core/progress.ts'
import type { Output } from '../command.ts'
import { truncate } from './format.ts'
import { TaskModel } from './model.ts'
import { describeEnded, describeRunning, indent, SHORTEST_NAME } from './plain.ts'
import { formatTimings } from './timings.ts'

const REFRESH_MS = 100
const MAX_LINES = 8
const BAR_WIDTH = 20

/** Columns that the figures behind a name take at most, and mostly. */
const FIGURES = 50
const USUAL_FIGURES = 22
/** Below, names have the room of bars. */
const ROOM_FOR_BARS = 80

/**
 * Progress on a terminal: ended top tasks scroll up, running ones are redrawn below with bars.
 *
 * Uses only cursor-up and erase-line, so that it works on every terminal that moves its cursor. Erasing all below would be
 * shorter, but from the top of the screen tmux keeps what is erased so: its history was full of frames.
 */
export function terminalProgress(output: Output, now: () => number = Date.now): Report & { close(): void } {
  const model = new TaskModel()
  let drawnLines = 0
  // The cursor is not at the start of its line where the terminal has echoed a key, such as ^C.
  const erase = (): string => {
    if (drawnLines === 0) return ''
    const up = `\x1b[${drawnLines}A`
    return `\r${up}${'\x1b[K\n'.repeat(drawnLines)}\x1b[K${up}`
  }
  const draw = (above: string): void => {
    const width = (output.columns ?? 80) - 1
    const running = model.running().slice(-MAX_LINES)
    const hasBars = width + 1 >= ROOM_FOR_BARS && running.some(({ totalBytes }) => totalBytes)
    const taken = hasBars ? BAR_WIDTH + FIGURES : width < ROOM_FOR_BARS ? USUAL_FIGURES : FIGURES
    const nameWidth = Math.max(SHORTEST_NAME, width - taken)
    const lines = running.map((task) => {
      const text = describeRunning(task, now(), nameWidth)
      return truncate(hasBars ? `${bar(task.bytes, task.totalBytes)} ${text}` : `  ${text}`, width)
    })
    output.write(`${erase()}${above}${lines.map((line) => `${line}\n`).join('')}`)
    drawnLines = lines.length
  }
  const timer = setInterval(() => draw(''), REFRESH_MS)
  timer.unref()
  const report = (event: ProgressEvent): void => {
    const task = model.apply(event, now())
    if (event.type === 'note') draw(`${event.level === 'warning' ? 'warning: ' : ''}${event.text}\n`)
    if (event.type === 'timings') draw(`${formatTimings(event.timings)}\n`)
    if (event.type === 'output') draw(`${indent(event.text)}\n`)
    if (event.type === 'end' && task !== undefined && task.parent === undefined)
      draw(`${describeEnded(task, (output.columns ?? 80) - 1)}\n`)
  }
  const close = (): void => {
    clearInterval(timer)
    output.write(erase())
    drawnLines = 0
  }
  return Object.assign(report, { close })
}

function bar(bytes: number, totalBytes: number | undefined): string {
  if (totalBytes === undefined || totalBytes === 0) return ' '.repeat(BAR_WIDTH)
  const filled = Math.min(BAR_WIDTH, Math.round((bytes / totalBytes) * BAR_WIDTH))
  return '━'.repeat(filled) + '─'.repeat(BAR_WIDTH - filled)
}
