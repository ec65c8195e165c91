import { spawn } from 'node:child_process'
import { pipeline } from 'node:stream/promises'
import { readFileSync } from 'node:fs'
import { BuildError } from '../../core/errors.ts'
import type { Backend, BackendName, Container, RunningContainer } from '../container.ts'
import { waitFor, type StartOptions } from '../direct.ts'
import { run, type Host } from '../host.ts'
import type { RunnableImage } from '../image.ts'
import { noteContainer, ownLabel, removeContainer, type EngineContainer } from '../leftover-container.ts'
import { markHanded } from '../prune-engines.ts'
import { runName } from '../run-name.ts'
import { which } from '../which.ts'

/** What differs between the programs that keep images themselves. */
export interface EngineTraits {
  /** Options between the program and its command. */
  readonly globalOptions: (host: Host) => readonly string[]
  /** What takes an image on its standard input; the engine's own `load --quiet` unless given. */
  readonly loadCommand?: (command: readonly string[]) => readonly string[]
  /** Options of `run` besides the usual ones. */
  readonly runOptions: (container: Container, host: Host) => readonly string[]
  readonly drawback?: Backend['drawback']
  /** @throws BuildError HOST_UNSUPPORTED, in clearer words than the program's own */
  readonly assertUsable?: (host: Host) => void
}

/** A backend of a program with docker's command line: the image is loaded once and then run by name. */
export function engine(name: BackendName & ('podman' | 'docker' | 'nerdctl'), traits: EngineTraits): Backend {
  const commandOn = (host: Host): string[] => [which(name, host.env) ?? name, ...traits.globalOptions(host)]
  return {
    name,
    program: name,
    has: (image, host) => hasImage(commandOn(host), image, host),
    ...(traits.drawback === undefined ? {} : { drawback: traits.drawback }),
    start: async (container, stdio, host) => {
      traits.assertUsable?.(host)
      const command = commandOn(host)
      await markHanded(container.workFolder, name, runName(container.image))
      const started = { engine: name, options: command.slice(1), name: container.name }
      noteContainer(container.workFolder, started)
      const loading = traits.loadCommand?.(command) ?? [...command, 'load', '--quiet']
      await load(loading, command, container, host)
      return start(
        [...command, 'run', ...runArgs(container, traits.runOptions(container, host))],
        container,
        stdio,
        host,
        started,
      )
    },
  }
}

/** The name holds the configuration's digest, so a name is enough. */
async function hasImage(command: readonly string[], image: RunnableImage, host: Host): Promise<boolean> {
  const found = await run([...command, 'image', 'inspect', '--format', '{{.Id}}', runName(image)], host.env)
  return found.status === 0
}

/** Hands the image over unless the engine has it. */
async function load(
  loading: readonly string[],
  command: readonly string[],
  container: Container,
  host: Host,
): Promise<void> {
  if (await hasImage(command, container.image, host)) return
  const { openImageArchive } = await import('../image-archive.ts')
  const [program = '', ...args] = loading
  const child = spawn(program, args, { env: host.env, stdio: ['pipe', 'ignore', 'pipe'] })
  const words: Buffer[] = []
  child.stderr.on('data', (chunk: Buffer) => words.push(chunk))
  const ended = waitFor(child)
  const sent = pipeline(openImageArchive(container.image), child.stdin)
  const [outcome, status] = await Promise.allSettled([sent, ended])
  if (status.status === 'rejected') throw status.reason
  if (status.value !== 0) {
    const said = Buffer.concat(words).toString().trim()
    // Engines try every format they know and tell of each; the first complaint is the one about ours. podman warns before.
    const first =
      said
        .split('\n')
        .find((line) => !line.includes('level=warning'))
        ?.slice(0, 400) ?? ''
    throw new BuildError('RUN_FAILED', `${command[0]} did not take the image: ${first}`, { data: { said } })
  }
  if (outcome.status === 'rejected') throw outcome.reason
}

function runArgs(container: Container, more: readonly string[]): string[] {
  const { request, image } = container
  const runtime = image.config.config ?? {}
  const [program = '', ...args] = commandOf(container)
  return [
    '--rm',
    '--pull=never',
    `--name=${container.name}`,
    `--label=${ownLabel(container.name)}`,
    `--network=${container.network}`,
    '--shm-size=2g',
    '--security-opt=no-new-privileges',
    ...(container.terminal ? ['--interactive', '--tty'] : container.stdin === 'inherit' ? ['--interactive'] : []),
    ...(request.user === undefined ? [] : ['--user', request.user]),
    ...(request.workdir === undefined ? [] : ['--workdir', request.workdir]),
    // Named alone, a variable's value comes from the environment of the command, where others cannot read it.
    ...Object.entries(request.env ?? {}).flatMap(([name, value]) => [
      '--env',
      isLoaderName(name) ? `${name}=${value}` : name,
    ]),
    ...container.binds.flatMap(({ source, destination, options }) => [
      '--volume',
      [source, destination, volumeOptions(options)].filter((part) => part !== '').join(':'),
    ]),
    ...container.devices.flatMap(({ hostPath, path, permissions }) => [
      '--device',
      `${hostPath}:${path}:${permissions}`,
    ]),
    ...container.memory.flatMap(({ destination, mode }) => ['--tmpfs', `${destination}:exec,mode=${mode.toString(8)}`]),
    ...more,
    ...(program === (runtime.Entrypoint ?? [])[0] && request.entrypoint === undefined
      ? [runName(image), ...args.slice((runtime.Entrypoint ?? []).length - 1)]
      : ['--entrypoint', program, runName(image), ...args]),
  ]
}

function commandOf({ request, image }: Container): string[] {
  const runtime = image.config.config ?? {}
  const entrypoint = request.entrypoint ?? runtime.Entrypoint ?? []
  const command = request.command ?? (request.entrypoint === undefined ? (runtime.Cmd ?? []) : [])
  const args = [...entrypoint, ...command]
  if (args.length === 0) throw new BuildError('IMAGE_INVALID', 'The image names no command, and none was given')
  return args
}

/** Engines know fewer words than \`mount\`, and take a word they do not know for an error. */
const VOLUME_WORDS = new Set(['ro', 'rw', 'nosuid', 'nodev', 'noexec', 'rprivate', 'private', 'rslave', 'rshared'])

function volumeOptions(options: readonly string[]): string {
  return options.filter((option) => VOLUME_WORDS.has(option)).join(',')
}

/** These would change the engine's own process. */
function isLoaderName(name: string): boolean {
  return name.startsWith('LD_') || name === 'PATH' || name === 'HOME' || name === 'XDG_RUNTIME_DIR'
}

function start(
  argv: readonly string[],
  container: Container,
  stdio: StartOptions,
  host: Host,
  started: EngineContainer,
): RunningContainer {
  const setpriv = which('setpriv', host.env)
  // Killed outright we cannot stop the container; the engine's command, told so by the kernel, can.
  const [program = '', ...args] = setpriv === undefined ? argv : [setpriv, '--pdeathsig', 'TERM', '--', ...argv]
  const passed = Object.entries(container.request.env ?? {}).filter(([name]) => !isLoaderName(name))
  const child = spawn(program, args, {
    env: { ...host.env, ...Object.fromEntries(passed) },
    stdio: [stdio.stdin, stdio.output, stdio.output],
    detached: stdio.stdin === 'ignore',
  })
  // What is killed is the engine's command. The container lives on when that dies before it has passed the signal on, and when the
  // signal is SIGKILL.
  const ended = async (): Promise<number> => {
    const status = await waitFor(child)
    if (child.signalCode !== null) await removeContainer(started, host.env)
    return status
  }
  return {
    stdout: child.stdout ?? undefined,
    stderr: child.stderr ?? undefined,
    exit: ended(),
    kill: (signal) => void child.kill(signal),
  }
}

/**
 * The caller's own limits as options of podman, which otherwise asks for more than an unprivileged caller may have.
 * It lowers its own number of processes to 32768 first, so that no more can be asked for.
 */
export function ulimitOptions(): string[] {
  const limits = readFileSync('/proc/self/limits', 'utf8')
  const files = /^Max open files\s+(\d+)\s+(\d+)/m.exec(limits)
  const processes = /^Max processes\s+(\d+)/m.exec(limits)
  const most = Math.min(Number(processes?.[1] ?? 32_768), 32_768)
  return [
    ...(files === null ? [] : ['--ulimit', `nofile=${files[1]}:${files[2]}`]),
    '--ulimit',
    `nproc=${most}:${most}`,
  ]
}
