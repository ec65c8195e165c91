import { silent, type Report } from '../../core/progress.ts'
import type { Output } from '../command.ts'
import { plainProgress } from './plain.ts'
import { terminalProgress } from './terminal.ts'

/** The values of `--progress`. */
export const PROGRESS_MODES = ['auto', 'tty', 'plain', 'json', 'none', 'quiet'] as const

/** A way of showing progress. */
export type ProgressMode = (typeof PROGRESS_MODES)[number]

/** A renderer; `close` puts the terminal back in order. */
export type Renderer = Report & { close(): void }

/**
 * Chooses how progress is shown.
 *
 * `auto` is bars on a terminal that can move its cursor, else lines; CI and NO_COLOR mean lines, as a log is wanted.
 */
export function chooseProgress(
  mode: ProgressMode,
  output: Output,
  env: Readonly<Record<string, string | undefined>>,
): Renderer {
  switch (mode) {
    case 'auto':
      return output.isTerminal && env['TERM'] !== 'dumb' && !env['CI']
        ? terminalProgress(output)
        : plainProgress(output)
    case 'tty':
      return terminalProgress(output)
    case 'plain':
      return plainProgress(output)
    case 'json':
      return withoutClose((event) => output.write(`${JSON.stringify(event)}\n`))
    case 'none':
    // Cog's word for it.
    case 'quiet':
      return withoutClose(silent)
  }
}

function withoutClose(report: Report): Renderer {
  return Object.assign((event: Parameters<Report>[0]) => report(event), { close: () => {} })
}
