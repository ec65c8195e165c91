import { setMaxListeners } from 'node:events'
import { fstatSync, writeFileSync } from 'node:fs'
import { CommanderError, Help, Option, Command as Program } from 'commander'
import picocolors from 'picocolors'
import { BuildError, EXIT, exitStatus, systemErrorCode } from '../core/errors.ts'
import { explainMachineError } from '../core/machine-error.ts'
import { keepHeapSmall } from '../core/small-heap.ts'
import { defineCogFlags, judgeCogFlags } from './cog-flags.ts'
import type { Command, CommandEntry, Io, Output } from './command.ts'
import { commands } from './commands/index.ts'
import { chooseProgress, PROGRESS_MODES, type ProgressMode } from './progress/choose.ts'
import { errorToJson, renderError } from './render-error.ts'
import { programVersion } from '../core/version.ts'

/** The command line's entry: runs one command and sets the process's exit status. */
export async function main(args: readonly string[]): Promise<void> {
  keepHeapSmall()
  const signal = interruptionOf(process, (status) => process.exit(status))
  process.stdout.on('error', (error) => process.exit(statusOfLostOutput(error)))
  // What is said on the way may be lost, as where the disk of a log is full: the work is what counts.
  process.stderr.on('error', () => {})
  try {
    process.exitCode = await runCommandLine(args, {
      stdout: outputOf(process.stdout, isFile(process.stdout) ? writeWhole : undefined),
      stderr: outputOf(process.stderr),
      env: process.env,
      cwd: currentFolder(),
      signal,
    })
  } catch (error) {
    process.exitCode = tell(error)
  }
}

/** @throws BuildError FILE_UNREADABLE when it was removed while a shell stood in it */
function currentFolder(): string {
  try {
    return process.cwd()
  } catch (cause) {
    throw new BuildError('FILE_UNREADABLE', 'The current folder does not exist any more', {
      hint: 'Somebody removed it, or made it anew: change to one that is there (`cd "$PWD"` when it was made anew).',
      cause,
    })
  }
}

/** A reader that has gone (`| head`) has what it wanted; any other loss of a result is a failure. */
function statusOfLostOutput(error: Error): number {
  if (systemErrorCode(error) === 'EPIPE') return EXIT.ok
  return tell(lostOutput(error))
}

/** Tells of an error that no command met. @returns the exit status */
function tell(error: unknown): number {
  const stderr = outputOf(process.stderr)
  stderr.write(renderError(error, picocolors.createColors(useColor({ env: process.env, stderr }))))
  return exitStatus(error)
}

function lostOutput(cause: unknown): BuildError {
  const isFull = ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(systemErrorCode(cause) ?? '')
  return new BuildError(
    isFull ? 'DISK_FULL' : 'FILE_UNWRITABLE',
    isFull ? 'No space left to write the result to standard output' : 'Cannot write the result to standard output',
    { hint: 'What arrived there is not whole: free some space, or send it elsewhere, and run this again.', cause },
  )
}

/** Whether Node writes to it as to a file: at once, and taking a part that was written, as when the disk fills, for the whole. */
function isFile({ fd, isTTY }: { readonly fd: number; readonly isTTY?: boolean }): boolean {
  const found = fstatSync(fd)
  return found.isFile() || (found.isCharacterDevice() && isTTY !== true)
}

/** Writes all of a text to standard output. @throws BuildError DISK_FULL, FILE_UNWRITABLE */
function writeWhole(text: string): void {
  try {
    writeFileSync(process.stdout.fd, text)
  } catch (error) {
    throw lostOutput(error)
  }
}

/** One press of Ctrl-C may arrive twice: from the terminal, and from whoever passes it on, such as `npx` or `timeout`. */
const ONE_PRESS_MS = 300

/**
 * Aborts at the first SIGINT, SIGTERM or SIGHUP (a terminal that was closed, which `nohup` cannot hide from Node), so that what is under way is
 * put away; a second one means now, unless it comes with the first. A command that listens to SIGHUP itself, to read its files again, keeps it.
 *
 * @param exit  ends the process; what it started in a sandbox ends with it, and whoever runs next clears away what is left
 * @param now   milliseconds
 */
export function interruptionOf(
  signals: Pick<NodeJS.Process, 'on' | 'listenerCount'>,
  exit: (status: number) => void,
  now: () => number = () => performance.now(),
): AbortSignal {
  const abort = new AbortController()
  let firstAt = 0
  // Every download and every stream listens to it; many are no leak.
  setMaxListeners(0, abort.signal)
  const interrupt = (): void => {
    if (abort.signal.aborted) return now() - firstAt < ONE_PRESS_MS ? undefined : exit(EXIT.interrupted)
    firstAt = now()
    abort.abort(new BuildError('INTERRUPTED', 'Interrupted', { hint: 'Nothing half-written was left behind.' }))
  }
  signals.on('SIGINT', interrupt)
  signals.on('SIGTERM', interrupt)
  signals.on('SIGHUP', () => {
    if (signals.listenerCount('SIGHUP') === 1) interrupt()
  })
  return abort.signal
}

/**
 * Runs one command line.
 *
 * @param args  without the program's name
 * @returns the exit status; never throws for what a user can cause
 */
export async function runCommandLine(words: readonly string[], outside: Omit<Io, 'report'>): Promise<number> {
  const { args, io } = withoutGlobalFlags(words, outside)
  const style = picocolors.createColors(useColor(io))
  const state: { status: number; mode: ProgressMode } = { status: EXIT.ok, mode: 'auto' }
  const run: Run = async (name, child, command) => {
    const options = child.opts<Readonly<Record<string, unknown>>>()
    state.mode = options['quiet'] === true ? 'none' : (options['progress'] as ProgressMode)
    const report = chooseProgress(state.mode, io.stderr, io.env)
    try {
      judgeCogFlags(name, child, report)
      state.status = (await command.run(child.args, options, { ...io, report })) ?? EXIT.ok
    } finally {
      report.close()
    }
  }
  try {
    const program = makeProgram(io)
    await addCommands(program, args, run)
    await program.parseAsync([...args], { from: 'user' })
    return state.status
  } catch (caught) {
    if (caught instanceof CommanderError) return caught.exitCode === 0 ? EXIT.ok : EXIT.usage
    // Whatever broke when the user interrupted, the interruption is the news.
    const error: unknown = io.signal.aborted ? io.signal.reason : explainMachineError(caught)
    io.stderr.write(state.mode === 'json' ? `${JSON.stringify(errorToJson(error))}\n` : renderError(error, style))
    return exitStatus(error)
  }
}

/** Takes off Cog's flags that stand before the command: `--no-color` and `--debug`. */
function withoutGlobalFlags(
  words: readonly string[],
  io: Omit<Io, 'report'>,
): { readonly args: readonly string[]; readonly io: Omit<Io, 'report'> } {
  const start = words.findIndex((word) => word !== '--no-color' && word !== '--debug')
  const flags = words.slice(0, start === -1 ? words.length : start)
  const env = flags.includes('--no-color') ? { ...io.env, NO_COLOR: '1' } : io.env
  return { args: words.slice(flags.length), io: { ...io, env } }
}

/** Runs a command whose arguments and options were parsed. */
type Run = (name: string, child: Program, command: Command) => Promise<void>

function makeProgram(io: Omit<Io, 'report'>): Program {
  return new Program('layerwright')
    .description('Builds container images for machine-learning models from a cog.yaml, without Docker.')
    .version(programVersion(), '-V, --version')
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stderr.columns ?? 100,
      getOutHasColors: () => useColor({ ...io, stderr: io.stdout }),
      getErrHasColors: () => useColor(io),
    })
    .configureHelp({ optionDescription: describeOption })
    .exitOverride()
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .showHelpAfterError('(add --help for the options)')
    .helpCommand(true)
}

/** As commander describes it, but for a default that says nothing: none is given yet of what may be given several times. */
function describeOption(this: Help, option: Option): string {
  const value: unknown = option.defaultValue
  const isEmpty = value === '' || (Array.isArray(value) && value.length === 0)
  return Help.prototype.optionDescription.call(this, isEmpty ? new Option(option.flags, option.description) : option)
}

/** Puts every command into the help, and loads only the one that is called. */
async function addCommands(program: Program, args: readonly string[], run: Run): Promise<void> {
  const called = args.filter((arg) => !arg.startsWith('-')).at(args[0] === 'help' ? 1 : 0)
  for (const entry of commands) await addCommand(program, entry, { args, called, run })
}

/** The words of the command line, and which of them names the command at this level. */
interface Call {
  readonly args: readonly string[]
  readonly called: string | undefined
  readonly run: Run
}

async function addCommand(parent: Program, entry: CommandEntry, call: Call): Promise<void> {
  const { args, called, run } = call
  const child = parent.command(entry.name).summary(entry.summary).description(capitalise(entry.summary))
  child.helpGroup(`${entry.group}:`).aliases(entry.aliases ?? [])
  if (called === undefined || (called !== entry.name && entry.aliases?.includes(called) !== true)) return
  const { command } = await entry.load()
  if (command.subcommands !== undefined) {
    const words = args.filter((arg) => !arg.startsWith('-'))
    const next = words[words.indexOf(called) + 1]
    for (const sub of command.subcommands) await addCommand(child, sub, { args, called: next, run })
    if (command.runsItself !== true || command.subcommands.some(({ name }) => name === next)) return
  }
  command.define(child)
  defineCogFlags(child, entry.name)
  child
    .addOption(new Option('--progress <mode>', 'how progress is shown').choices(PROGRESS_MODES).default('auto'))
    .option('-q, --quiet', 'show no progress')
    .action(async () => run(entry.name, child, command))
}

function capitalise(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function useColor(io: { readonly env: Io['env']; readonly stderr: Output }): boolean {
  if (io.env['NO_COLOR']) return false
  if (io.env['FORCE_COLOR']) return io.env['FORCE_COLOR'] !== '0'
  return io.stderr.isTerminal && io.env['TERM'] !== 'dumb'
}

/**
 * Output of a command to a stream of Node's, which leaves `isTTY` undefined where it is no terminal.
 *
 * @param write  writes a text in place of the stream
 */
export function outputOf(
  stream: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number },
  write: (text: string) => void = (text) => void stream.write(text),
): Output {
  return {
    write,
    isTerminal: stream.isTTY ?? false,
    get columns() {
      return stream.columns
    },
  }
}
