import type { Command as Program } from 'commander'
import type { Report } from '../core/progress.ts'

/** The process as a command sees it; tests hand in their own. */
export interface Io {
  /** The result: data for programs, nothing else. */
  readonly stdout: Output
  /** Everything for people. */
  readonly stderr: Output
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** Aborts on Ctrl-C, on SIGTERM and when the terminal is closed. */
  readonly signal: AbortSignal
  /** Where progress goes, as `--progress` and `--quiet` say. */
  readonly report: Report
}

/** A stream of text with what a renderer must know of it. */
export interface Output {
  write(text: string): void
  readonly isTerminal: boolean
  /** Undefined when it is not a terminal. */
  readonly columns: number | undefined
}

/** One command: its arguments and options, and what it does. Its module is loaded only when it is called. */
export interface Command {
  /** Adds arguments and options. Global options (`--progress`, `--quiet`) are there already. */
  define(program: Program): void
  /**
   * Does the work; prints the result to `io.stdout`.
   *
   * @param args   as `define` declared them, in order
   * @param options  by their camel-case names
   * @returns the exit status; 0 when there is none. Errors are thrown.
   */
  run(args: readonly string[], options: Readonly<Record<string, unknown>>, io: Io): Promise<number | void>
  /** For commands made of subcommands (`registry serve`); `run` is then called only with `runsItself`. */
  readonly subcommands?: readonly CommandEntry[]
  /** Whether a command with subcommands does something without one, too (`doctor`). */
  readonly runsItself?: boolean
}

/** How a command appears in the table of commands. */
export interface CommandEntry {
  readonly name: string
  readonly aliases?: readonly string[]
  /** One line for the help. */
  readonly summary: string
  readonly group: 'Build' | 'Run' | 'Look' | 'Move' | 'Set up'
  load(): Promise<{ readonly command: Command }>
}
