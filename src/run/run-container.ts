import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, existsSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { BuildError } from '../core/errors.ts'
import { makeFolder } from '../core/make-folder.ts'
import type { Report } from '../core/progress.ts'
import type {
  Backend,
  BindMount,
  Container,
  ContainerChanges,
  ContainerDevice,
  ContainerHooks,
  RunningContainer,
  Stdio,
} from './container.ts'
import { removeWork } from './direct.ts'
import { knownHost, type Host } from './host.ts'
import { removeLeftover } from './leftover-container.ts'
import type { RunnableImage } from './image.ts'
import type { ProcessRequest } from './process.ts'
import { unpackImage, unpackMerged, type RootfsCache } from './rootfs.ts'
import { selectBackend } from './select-backend.ts'

/** What to run and how. */
export interface RunRequest extends ProcessRequest {
  readonly image: RunnableImage
  /** Files and folders of the host inside the container. */
  readonly binds?: readonly BindMount[] | undefined
  /** `host` unless given. */
  readonly network?: 'host' | 'none' | undefined
  /** Devices, libraries and hooks for GPUs; see `resolveGpus`. */
  readonly devices?: DeviceEdits | undefined
  /** `ignore` unless given. */
  readonly stdin?: 'inherit' | 'ignore' | undefined
  /** `inherit` unless given. */
  readonly output?: Stdio | undefined
  readonly terminal?: boolean | undefined
  /** Files in memory at `/tmp` (the default), or on disk with everything else. */
  readonly tmp?: 'memory' | 'disk' | undefined
  readonly capture?: ((changes: ContainerChanges) => Promise<void>) | undefined
  /** Stops the container: SIGTERM, and SIGKILL after ten seconds; after one where changes were to be captured. */
  readonly signal?: AbortSignal | undefined
}

/** What devices add to a container. */
export interface DeviceEdits {
  readonly env: Readonly<Record<string, string>>
  readonly devices: readonly ContainerDevice[]
  readonly binds: readonly BindMount[]
  readonly hooks: ContainerHooks
  readonly additionalGids: readonly number[]
}

/** Where and with what containers run. */
export interface RunContext {
  /** The local store's folder; unpacked layers lie below it. */
  readonly storeFolder: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** A backend by name; else `LAYERWRIGHT_RUNTIME`, else the first that works. */
  readonly runtime?: string | undefined
  readonly report: Report
}

const GRACE_MS = 10_000
/** What a command of a build made is thrown away when it is stopped; the first process of a container mostly ignores SIGTERM. */
const STEP_GRACE_MS = 1000

/**
 * Runs a container to its end.
 *
 * @returns the exit status of its process; 128 + the signal's number when one killed it
 * @throws BuildError HOST_UNSUPPORTED, IMAGE_INVALID, DIGEST_MISMATCH, ...
 */
export async function runContainer(request: RunRequest, context: RunContext): Promise<number> {
  const running = await startContainer(request, context)
  return running.exit
}

/** Starts a container; it ends with this process, however that ends. */
export async function startContainer(request: RunRequest, context: RunContext): Promise<RunningContainer> {
  const { signal } = request
  signal?.throwIfAborted()
  const cache = await rootfsCache(context, signal)
  const host = await knownHost(cache.folder, context.env)
  await makeFolder(join(cache.folder, 'tmp'), 0o700)
  await sweep(cache.folder, host)
  const backend = await choose(request, context, host, cache)
  context.report({ type: 'note', level: 'info', text: `Running with ${backend.name}`, code: 'runtime' })
  const container = makeContainer(request, cache)
  let running: RunningContainer
  try {
    running = await backend.start(container, { stdin: container.stdin, output: request.output ?? 'inherit' }, host)
  } catch (error) {
    await removeWork(container.workFolder, host)
    throw error
  }
  const forget = stopOnAbort(running, signal, request.capture === undefined ? GRACE_MS : STEP_GRACE_MS)
  const end = async (): Promise<number> => {
    try {
      return await running.exit
    } finally {
      forget()
      await removeWork(container.workFolder, host)
    }
  }
  return { ...running, exit: end() }
}

/** What is to be captured has to be at hand, and engines keep it to themselves. */
async function choose(request: RunRequest, context: RunContext, host: Host, cache: RootfsCache): Promise<Backend> {
  const wanted = context.runtime ?? (context.env['LAYERWRIGHT_RUNTIME'] || undefined)
  if (request.capture === undefined) return selectBackend(wanted, host, cache, { image: request.image })
  if (host.namespaces === 'none') {
    const words = host.reasons.at(-1) ?? 'no reason was given'
    throw new BuildError(
      'HOST_UNSUPPORTED',
      `This user may not make namespaces here, which running commands takes: ${words}`,
      {
        hint: NO_NAMESPACES,
        data: { namespaces: host.namespaces, reasons: host.reasons },
      },
    )
  }
  const isEngine = ['podman', 'docker', 'nerdctl'].includes(wanted ?? '')
  return selectBackend(isEngine ? undefined : wanted, host, cache, { names: DIRECT_NAMES })
}

const DIRECT_NAMES = ['crun', 'runc', 'bubblewrap', 'chroot'] as const
const NO_NAMESPACES = [
  'Running commands while building (`run`, packages without a wheel) takes root or user namespaces',
  '(`sysctl user.max_user_namespaces`, `kernel.unprivileged_userns_clone`, `kernel.apparmor_restrict_unprivileged_userns`).',
  'Without them use a base image that has what the commands make, and packages that come as wheels.',
].join(' ')

/** Where this user's unpacked layers lie. Root's and others' differ in their owners. */
export async function rootfsCache(context: RunContext, signal?: AbortSignal): Promise<RootfsCache> {
  const uid = process.getuid?.() ?? 0
  const folder = join(context.storeFolder, 'rootfs', String(uid))
  if (/[,:\\]/.test(folder)) {
    // Overlay's options are split at these.
    throw new BuildError('USAGE', `The store's path may hold no comma, colon or backslash: \`${context.storeFolder}\``)
  }
  await makeFolder(folder, 0o700)
  return { folder, keepOwners: uid === 0, report: context.report, signal }
}

function makeContainer(request: RunRequest, cache: RootfsCache): Container {
  const { image, devices } = request
  const id = randomBytes(6).toString('hex')
  for (const { source } of request.binds ?? []) {
    if (!isAbsolute(source) || !existsSync(source)) {
      throw new BuildError('USAGE', `Nothing to mount at this absolute path: \`${source}\``)
    }
  }
  return {
    name: `layerwright-${id}`,
    image,
    folders: async (canStack) =>
      canStack ? unpackImage(image.layers, cache) : [await unpackMerged(image.layers, cache)],
    request: { ...request, env: { ...devices?.env, ...request.env } },
    additionalGids: devices?.additionalGids ?? [],
    binds: [...(devices?.binds ?? []), ...(request.binds ?? [])],
    memory: request.tmp === 'disk' ? [] : [{ destination: '/tmp', mode: 0o1777 }],
    devices: devices?.devices ?? [],
    hooks: devices?.hooks ?? {},
    network: request.network ?? 'host',
    hostname: id,
    stdin: request.stdin ?? 'ignore',
    terminal: request.terminal ?? false,
    workFolder: mkdtempSync(join(cache.folder, 'tmp', `run-${process.pid}-`)),
    capture: request.capture,
  }
}

/**
 * Stops a container when the signal aborts, or has aborted while it started: an engine takes a minute for a large image.
 *
 * @returns what ends the waiting
 */
export function stopOnAbort(
  running: Pick<RunningContainer, 'exit' | 'kill'>,
  signal: AbortSignal | undefined,
  graceMs: number,
): () => void {
  const stop = (): void => {
    running.kill('SIGTERM')
    const timer = setTimeout(() => running.kill('SIGKILL'), graceMs)
    running.exit
      .finally(() => clearTimeout(timer))
      .catch(() => {
        // The caller gets the same rejection from `exit`.
      })
  }
  if (signal?.aborted === true) stop()
  else signal?.addEventListener('abort', stop, { once: true })
  return () => signal?.removeEventListener('abort', stop)
}

/** Removes what runs that were killed outright have left; the process id is part of the name. */
async function sweep(folder: string, host: Host): Promise<void> {
  for (const name of readdirSync(join(folder, 'tmp'))) {
    const pid = /^(?:run|unpack|probe)-(\d+)-/.exec(name)?.[1]
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue
    const work = join(folder, 'tmp', name)
    if (await removeLeftover(work, host.env)) await removeWork(work, host)
  }
}
