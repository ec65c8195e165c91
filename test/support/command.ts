import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** What a finished process left. */
export interface Finished {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** How a command is run. */
export interface RunOptions {
  readonly cwd?: string | undefined
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  readonly input?: string | undefined
  readonly timeoutMs?: number | undefined
}

/** Runs a program to its end and gives its output; any exit status is an answer. */
export async function runCommand(file: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = spawn(file, [...args], {
    cwd: options.cwd,
    // The test runner asks for colour on its own behalf where CI is set; what is compared here is plain text.
    env: { ...process.env, FORCE_COLOR: undefined, ...options.env },
    timeout: options.timeoutMs ?? 600_000,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  // A program that does not read its input closes it early.
  child.stdin.on('error', () => {})
  child.stdin.end(options.input ?? '')
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, ...output }
}

/** Runs a program that must succeed. @throws Error with all its output */
export async function mustRun(file: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const finished = await runCommand(file, args, options)
  if (finished.status === 0) return finished
  const { status, stdout, stderr } = finished
  throw new Error(`${file} ${args.join(' ')}: exit status ${status}\n${stdout}\n${stderr}`)
}

/** Tells whether a program is on PATH. In the gate a missing one is an error, elsewhere its tests are skipped by name. */
export async function hasCommand(name: string): Promise<boolean> {
  const { status } = await runCommand('sh', ['-c', `command -v ${name}`])
  if (status === 0) return true
  if (process.env['LAYERWRIGHT_INTEROP'] === 'required') throw new Error(`The interop tests need \`${name}\``)
  return false
}
