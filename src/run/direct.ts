import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statfsSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { removeCgroups } from './cgroups.ts'
import { assertProgram } from './check-program.ts'
import type { BindMount, Container, ContainerChanges, RunningContainer, Stdio } from './container.ts'
import { enterNamespaces, overlayOptions, run, type Host } from './host.ts'
import { assertRunnable } from './runnable.ts'
import { removeTree } from './unpack/remove-tree.ts'
import { findInImage } from './layer-view.ts'
import { makeProcess, type ContainerProcess } from './process.ts'

/** Streams of a started process. */
export interface StartOptions {
  readonly stdin: 'inherit' | 'ignore'
  readonly output: Stdio
}

/** A container whose process is known, names of users included. */
export interface DirectContainer extends Container {
  readonly process: ContainerProcess
}

/** What a direct backend adds to the common frame. */
export interface DirectCommand {
  /** Files to put into the bundle, by name. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>
  /** Lines of shell to run once the root file system is mounted at `./root`. */
  readonly script: string
  /** The shell command that then starts the container; `"$@"` stands for `args`. */
  readonly enter: string
  /** Positional parameters of the script, `$1` first. */
  readonly args: readonly string[]
  /** How many processes below `unshare` the container's first one lies; 1 when whatever lies there passes signals on. */
  readonly processDepth?: number
  /** Namespaces that the command itself does not make. */
  readonly network?: Container['network']
  readonly cgroup?: boolean | undefined
}

/**
 * Starts a container in namespaces of our own: the overlay of its layers is mounted where only it can see it, so that
 * nothing is left mounted however this process ends, and all its processes die with the first.
 *
 * @param make gives the command, which runs in the bundle's folder
 */
export async function startDirect(
  container: Container,
  options: StartOptions,
  host: Host,
  make: (container: DirectContainer, folders: readonly string[]) => DirectCommand,
): Promise<RunningContainer> {
  const { os, architecture } = container.image.config
  assertRunnable({ os, architecture })
  const folders = await container.folders(host.overlay)
  checkMountPoints(folders)
  const bundle = container.workFolder
  for (const name of ['root', 'upper', 'work', 'layers']) mkdirSync(join(bundle, name), { mode: 0o755 })
  // Short names: all of them have to fit into one page for the kernel.
  for (const [index, folder] of folders.entries()) symlinkSync(folder, join(bundle, 'layers', String(index)))
  const process = makeProcess(container.image.config.config ?? {}, container.request, folders)
  const additionalGids = [...process.additionalGids, ...container.additionalGids]
  const binds = [...hostFiles(container), ...container.binds]
  checkBinds(container.binds, folders)
  assertProgram(process, { folders, mounts: [...binds, ...container.memory].map(({ destination }) => destination) })
  const command = make({ ...container, binds, process: { ...process, additionalGids } }, folders)
  for (const [name, bytes] of Object.entries(command.files ?? {}))
    writeFileSync(join(bundle, name), bytes, { mode: 0o600 })
  const names = folders.map((_, index) => `layers/${index}`)
  const script = [
    'set -e',
    'cd "$1"',
    'shift',
    host.overlay
      ? `mount -t overlay -o ${overlayOptions(host, names, 'upper', 'work')} overlay root`
      : // Slow where the file system cannot share blocks, but it works everywhere. What is mounted below root is not seen in upper.
        'cp -a --reflink=auto layers/0/. upper/ && mount --bind upper root && cd .',
    container.capture === undefined || host.overlay ? ':' : MARK_COPY,
    command.script,
    container.capture === undefined ? `exec ${command.enter}` : captureScript(command.enter, host),
  ].join('\n')
  const argv = enterNamespaces(host, ['sh', '-c', script, 'sh', bundle, ...command.args], command)
  const depth = (command.processDepth ?? 1) + (container.capture === undefined ? 0 : 1)
  return follow(argv, container, options, host, { depth, folders })
}

/** What a copy holds before anything runs. Times of changes are as coarse as the kernel's clock, hence the pause. */
const MARK_COPY = '(cd upper && find . -print0) | LC_ALL=C sort -z > before && : > marker && sleep 0.05'

const PACK = 'LC_ALL=C tar --format=pax --numeric-owner --xattrs --xattrs-include="*" -C upper -cf upper.tar'

/**
 * Runs the container below the shell and packs what it wrote while its user ids still mean something. The status of the
 * packing is told apart by a file.
 *
 * Of an overlay the upper folder is what changed; of a copy that is everything whose inode changed since, which no program
 * can hide, and what is no longer there.
 */
function captureScript(enter: string, host: Host): string {
  const pack = host.overlay
    ? `${PACK} . 2>tar.err`
    : [
        '(cd upper && find . -newercc ../marker -print0) > changed',
        '(cd upper && find . -print0) | LC_ALL=C sort -z > after',
        'LC_ALL=C comm -z -23 before after > deleted',
        `${PACK} --no-recursion --null -T changed 2>tar.err`,
      ].join(' && ')
  return ['set +e', `( ${enter} )`, 'status=$?', `${pack} && : >packed`, 'exit $status'].join('\n')
}

function readChanges(container: Container, status: number, folders: readonly string[]): ContainerChanges {
  const words = readIfThere(join(container.workFolder, 'tar.err'))
  if (!existsSync(join(container.workFolder, 'packed'))) {
    // On a full disk there is no room for tar's own words either.
    if (/No space left|Disk quota/.test(words) || freeBytes(container.workFolder) < LITTLE_BYTES) {
      throw new BuildError(
        'DISK_FULL',
        `No space left for what the command changed: ${dirname(container.workFolder)}`,
        {
          hint: 'It lies there once as files and once as an archive. Free some space, or choose another place with LAYERWRIGHT_CACHE.',
          data: { status },
        },
      )
    }
    throw new BuildError(
      'RUN_FAILED',
      `What the command changed could not be packed: ${words.trim() || 'it never started'}`,
      {
        hint: 'This takes GNU tar on the host, and GNU find where layers cannot be stacked.',
        data: { status },
      },
    )
  }
  const sockets = [...words.matchAll(/^tar: \.\/(.*): socket ignored$/gm)].map((match) => match[1] ?? '')
  const deleted = readIfThere(join(container.workFolder, 'deleted'), 'latin1')
    .split('\0')
    .filter((path) => path !== '')
  return { status, tarFile: join(container.workFolder, 'upper.tar'), sockets, folders, deleted }
}

const LITTLE_BYTES = 64 * 1024

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}

function readIfThere(file: string, encoding: 'utf8' | 'latin1' = 'utf8'): string {
  return existsSync(file) ? readFileSync(file, encoding) : ''
}

/** Names are resolved as on the host; engines see to that themselves. */
function hostFiles(container: Container): BindMount[] {
  if (container.network === 'none') return []
  return ['/etc/resolv.conf', '/etc/hosts']
    .filter((path) => existsSync(path))
    .map((path) => ({ source: path, destination: path, options: ['ro', 'nosuid', 'nodev'] }))
}

/**
 * Images whose /proc, /dev or /sys is a link make a runtime mount elsewhere than it thinks (runc CVE-2026-41579, crun
 * CVE-2026-47766).
 */
function checkMountPoints(folders: readonly string[]): void {
  for (const path of ['/proc', '/dev', '/sys', '/etc', '/tmp']) {
    const found = findInImage(folders, path)
    if (found?.path !== path || (found.stats !== undefined && !found.stats.isDirectory())) {
      throw new BuildError('IMAGE_INVALID', `The image has a link or a file in the place of a directory: \`${path}\``)
    }
  }
}

/** Nothing can be mounted below a file, or where links lead round in a circle. */
function checkBinds(binds: readonly BindMount[], folders: readonly string[]): void {
  for (const { destination } of binds) {
    if (findInImage(folders, destination) !== undefined) continue
    throw new BuildError(
      'USAGE',
      `Nothing can be mounted there, since the image has a file in the way: \`${destination}\``,
    )
  }
}

function follow(
  argv: readonly string[],
  container: Container,
  options: StartOptions,
  host: Host,
  inner: { readonly depth: number; readonly folders: readonly string[] },
): RunningContainer {
  const [program = '', ...args] = argv
  const child = spawn(program, args, {
    env: { ...host.env, LIBMOUNT_FORCE_MOUNT2: 'always' },
    stdio: [options.stdin, options.output, options.output],
    // Away from the terminal's group, so that Ctrl-C reaches the container once, through us; a container that reads the
    // terminal has to stay in it.
    detached: options.stdin === 'ignore',
  })
  const end = async (): Promise<number> => {
    try {
      const status = await waitFor(child)
      await container.capture?.(readChanges(container, status, inner.folders))
      return status
    } finally {
      await removeWork(container.workFolder, host)
    }
  }
  return {
    stdout: child.stdout ?? undefined,
    stderr: child.stderr ?? undefined,
    exit: end(),
    kill: (signal) => {
      // What is to be captured is packed when the first process has ended, by the shell around it.
      const isWhole = host.pidNamespace && container.capture === undefined
      killInner(child, signal, { depth: host.pidNamespace ? inner.depth : inner.depth - 1, isWhole })
    },
  }
}

/** The exit status as a shell tells it. @throws BuildError HOST_UNSUPPORTED when the program is missing */
export function waitFor(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', (error) =>
      reject(
        new BuildError('HOST_UNSUPPORTED', `Cannot start \`${child.spawnfile}\`: ${error.message}`, { cause: error }),
      ),
    )
    child.on('close', (status, signal) => resolve(status ?? 128 + (signal === null ? 0 : signalNumber(signal))))
  })
}

const SIGNALS: Partial<Record<NodeJS.Signals, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGTERM: 15,
}

function signalNumber(signal: NodeJS.Signals): number {
  return SIGNALS[signal] ?? 0
}

/** Where a container's first process lies below `unshare`, and whether everything ends with that. */
interface Inner {
  readonly depth: number
  readonly isWhole: boolean
}

/** `unshare` waits and passes nothing on; a process below it is the one to tell. */
function killInner(child: ChildProcess, signal: NodeJS.Signals, { depth, isWhole }: Inner): void {
  if (child.exitCode !== null || child.signalCode !== null) return
  // The whole goes with `unshare`, which takes the end of its child by this signal for an error of its own, and gives 1 as its status.
  if (signal === 'SIGKILL' && isWhole) return void child.kill(signal)
  let { pid } = child
  for (let level = 0; level < depth && pid !== undefined; level++) pid = childOf(pid)
  // Before the container's process exists there is only the whole to stop.
  if (pid === undefined) return void child.kill('SIGKILL')
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (systemErrorCode(error) !== 'ESRCH') throw error
  }
}

function childOf(pid: number): number | undefined {
  try {
    const first = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ', 1)[0]
    return first === undefined || first === '' ? undefined : Number(first)
  } catch {
    // Gone, or a kernel without this file.
    return undefined
  }
}

/** Removes a container's folder and cgroups; files of other ids of the user namespace can only be removed inside one. */
export async function removeWork(folder: string, host: Host): Promise<void> {
  removeCgroups(folder)
  try {
    removeTree(folder)
  } catch (error) {
    if (host.namespaces !== 'range') throw error
    const outcome = await run(enterNamespaces(host, ['rm', '-rf', '--', folder]), host.env, 600_000)
    if (outcome.status !== 0) throw error
  }
}
