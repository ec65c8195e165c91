import type { Io, Output } from '../../src/cli/command.ts'
import type { ProgressEvent } from '../../src/core/progress.ts'

/** An output that keeps what was written. */
export interface RecordedOutput extends Output {
  text(): string
}

/** An output in memory. */
export function recordOutput(
  options: { readonly isTerminal?: boolean; readonly columns?: number } = {},
): RecordedOutput {
  const parts: string[] = []
  return {
    write: (text) => void parts.push(text),
    isTerminal: options.isTerminal ?? false,
    columns: options.columns,
    text: () => parts.join(''),
  }
}

/** A process for a command, with everything it prints and reports. */
export interface RecordedIo extends Io {
  readonly stdout: RecordedOutput
  readonly stderr: RecordedOutput
  readonly events: ProgressEvent[]
}

/** A process in memory. Nothing of the real environment gets in. */
export function recordIo(options: Partial<Pick<Io, 'env' | 'cwd' | 'signal'>> = {}): RecordedIo {
  const events: ProgressEvent[] = []
  return {
    stdout: recordOutput(),
    stderr: recordOutput(),
    env: options.env ?? {},
    cwd: options.cwd ?? process.cwd(),
    signal: options.signal ?? new AbortController().signal,
    report: (event) => void events.push(event),
    events,
  }
}
