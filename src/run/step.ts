import { createReadStream } from 'node:fs'
import { isUtf8 } from 'node:buffer'
import { constants } from 'node:os'
import type { ImageRuntimeConfig, Platform } from 'oci-spec-types'
import type { Entry } from '../../layers/entry.ts'
import type { Layer } from '../../layers/layer.ts'
import { BuildError } from '../core/errors.ts'
import { maskAddresses } from '../core/mask.ts'
import { wholeLines } from '../core/whole-lines.ts'
import type { BindMount, ContainerChanges } from './container.ts'
import type { RunnableImage } from './image.ts'
import { findInImage, listInImage } from './layer-view.ts'
import { rootfsCache, startContainer, type RunContext } from './run-container.ts'
import { assertRunnable } from './runnable.ts'
import { stepNetwork } from './step-network.ts'
import { cleanPath } from './unpack/root.ts'
import { printable, readEntries, type BytePath, type TarEntry } from './unpack/tar-entries.ts'

/** A command to run on top of layers while building. */
export interface StepRequest {
  /** The root file system so far, lowest first. */
  readonly layers: readonly Layer[]
  readonly platform: Platform
  /** Environment, user and working directory for the command. */
  readonly config: ImageRuntimeConfig
  /** A line for `/bin/sh -c`. */
  readonly command: string
  /** Secrets and caches, bound for the time of the command; they leave nothing in the result. */
  readonly binds?: readonly BindMount[] | undefined
  /** `host` unless given. */
  readonly network?: 'host' | 'none' | undefined
  /** The time that programs are told (`SOURCE_DATE_EPOCH`), in seconds. */
  readonly epochSeconds: number
  /** Takes what the command prints, in whole lines as they come. */
  readonly output: (text: string) => void
  /** Takes secrets out of what the command prints, before anybody sees it. */
  readonly mask?: ((text: string) => string) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Runs a command in a sandbox on top of layers and hands over what it changed.
 *
 * The changes have no times, no logs of package managers and no traces of what was bound, so that a command that does the
 * same again gives the same entries. Their bytes can be read only until `use` is done.
 *
 * @param use gets the entries that `layerOfEntries` makes a layer of, in any order
 * @throws BuildError RUN_FAILED when the command fails or leaves a special file, HOST_UNSUPPORTED when nothing here can
 *   run it
 */
export async function runStep<T>(
  request: StepRequest,
  context: RunContext,
  use: (entries: readonly Entry[]) => Promise<T>,
): Promise<T> {
  assertRunnable(request.platform)
  const image = imageOf(request)
  const isOnline = request.network !== 'none'
  const network = isOnline
    ? await stepNetwork(context.env, (await rootfsCache(context)).folder)
    : { env: {}, binds: [] }
  const binds = [...network.binds, ...(request.binds ?? [])]
  const result: { value?: T; isDone: boolean } = { isDone: false }
  const capture = async (changes: ContainerChanges): Promise<void> => {
    if (changes.status !== 0) return
    for (const name of changes.sockets) {
      context.report({ type: 'note', level: 'warning', text: `A socket is left out of the layer: ${name}` })
    }
    result.value = await use(await readChanges(changes, binds, context))
    result.isDone = true
  }
  const container = await startContainer(
    {
      image,
      entrypoint: ['/bin/sh', '-c', request.command],
      env: stepEnvironment(request, network.env),
      binds,
      network: request.network,
      output: 'pipe',
      tmp: 'disk',
      capture,
      signal: request.signal,
    },
    context,
  )
  const tail = { text: '' }
  await Promise.all([pass(container.stdout), pass(container.stderr)])
  const status = await container.exit
  request.signal?.throwIfAborted()
  if (status !== 0) {
    throw new BuildError(
      'RUN_FAILED',
      `The command ended with status ${status}: \`${maskAddresses(request.command)}\``,
      { hint: hintOf(status), data: { status, output: tail.text } },
    )
  }
  if (!result.isDone) throw new TypeError('A command that went well was not captured')
  return result.value as T

  async function pass(stream: AsyncIterable<Uint8Array> | undefined): Promise<void> {
    if (stream === undefined) return
    for await (const printed of wholeLines(stream)) {
      const text = request.mask?.(printed) ?? printed
      request.output(text)
      tail.text = (tail.text + text).slice(-16_384)
    }
  }
}

/** What a shell means by a status. */
function hintOf(status: number): string {
  const output = 'Its output stands above.'
  if (status === 127) return `${output} A program was not found: it may need a package of \`build.system_packages\`.`
  if (status === 137) return `${output} SIGKILL ended it, which is often the kernel's answer to too little memory.`
  const signal = Object.entries(constants.signals).find(([, number]) => number === status - 128)
  return signal === undefined ? output : `${output} ${signal[0]} ended it.`
}

function imageOf({ layers, platform, config }: StepRequest): RunnableImage {
  const unused = { mediaType: '', digest: 'sha256:', size: 0 } as const
  return {
    config: {
      os: platform.os,
      architecture: platform.architecture,
      config,
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    },
    layers,
    // Engines alone read these, and no engine runs a step.
    configBytes: Buffer.alloc(0),
    manifestBytes: Buffer.alloc(0),
    manifest: { schemaVersion: 2, config: unused, layers: [] },
    descriptor: unused,
  }
}

/** Variables that keep tools from writing times and caches; what the image or project sets goes first. */
function stepEnvironment(request: StepRequest, network: Readonly<Record<string, string>>): Record<string, string> {
  const set = new Set((request.config.Env ?? []).map((line) => line.split('=', 1)[0]))
  const wanted = {
    ...network,
    SOURCE_DATE_EPOCH: String(request.epochSeconds),
    DEBIAN_FRONTEND: 'noninteractive',
    // Compiled files hold the time of their source, which a layer does not keep.
    PYTHONDONTWRITEBYTECODE: '1',
    PIP_NO_COMPILE: '1',
    // Without a mount it would be part of the layer.
    ...(isPipCacheBound(request) ? {} : { PIP_NO_CACHE_DIR: '1' }),
  }
  return Object.fromEntries(Object.entries(wanted).filter(([name]) => !set.has(name)))
}

/** Whether pip's cache, where it is unless a variable says so, lies in something that is bound. */
function isPipCacheBound({ binds = [] }: StepRequest): boolean {
  return binds.some(({ destination }) => /\/\.cache(\/pip)?\/?$/.test(destination))
}

/** Files that tell when something was done, and nothing that anybody needs. */
const TRACES = /^(var\/log\/(apt\/.+|dpkg\.log|alternatives\.log|bootstrap\.log)|var\/cache\/ldconfig\/aux-cache)$/

async function readChanges(
  changes: ContainerChanges,
  binds: readonly BindMount[],
  context: RunContext,
): Promise<Entry[]> {
  const found = inOrder(await readTarFile(changes.tarFile))
  const mounted = mountPoints(binds, found, changes)
  const byPath = new Map(found.map((entry) => [cleanPath(entry.path), entry]))
  const xattrs = new Set<string>()
  const entries = found.flatMap((entry): Entry[] => {
    const bytes = cleanPath(entry.path)
    if (bytes === '' || mounted.has(bytes) || TRACES.test(bytes)) return []
    for (const name of Object.keys(entry.xattrs)) if (!OVERLAY_XATTR.test(name)) xattrs.add(name)
    return toEntries(entry, decode(bytes), found, changes.tarFile)
  })
  if (xattrs.size > 0) {
    const text = `Extended attributes are not kept in the layer: ${[...xattrs].sort().join(', ')}`
    context.report({ type: 'note', level: 'warning', text })
  }
  const hidden = found.filter(isOpaque).flatMap(({ path }) => hiddenIn(cleanPath(path), byPath, changes.folders))
  return [...entries, ...whiteouts([...changes.deleted, ...new Set(hidden)], found)]
}

/** What GNU tar packed; where its archive is none for us, the reason is what the command left. */
async function readTarFile(file: string): Promise<TarEntry[]> {
  const read: TarEntry[] = []
  try {
    for await (const entry of readEntries(createReadStream(file))) read.push(entry)
    return read
  } catch (error) {
    if (!(error instanceof BuildError) || error.code !== 'ARCHIVE_INVALID') throw error
    throw new BuildError('RUN_FAILED', 'The command left something that no layer can hold', {
      hint: 'Rename or remove it at the end of the command.',
      cause: error,
    })
  }
}

function isOpaque({ kind, xattrs }: TarEntry): boolean {
  const names = ['trusted.overlay.opaque', 'user.overlay.opaque']
  return kind === 'directory' && names.some((name) => xattrs[name] === 'y')
}

/**
 * What a new directory in the place of another hides. Deletions one by one are what the image-spec asks for, what stands on
 * its own when it is unpacked, and what a copy without an overlay gives.
 */
function hiddenIn(
  directory: BytePath,
  byPath: ReadonlyMap<BytePath, TarEntry>,
  folders: readonly string[],
): readonly BytePath[] {
  return [...listInImage(folders, directory)].flatMap(([name, stats]) => {
    const path = `${directory}/${name}`
    const own = byPath.get(path)
    if (own === undefined) return [path]
    return own.kind === 'directory' && stats.isDirectory() ? hiddenIn(path, byPath, folders) : []
  })
}

/** Marks for what is gone; what lies below something that is gone, or that is no folder any more, needs none. */
function whiteouts(deleted: readonly string[], found: readonly TarEntry[]): Entry[] {
  const paths = deleted.map(cleanPath)
  const hidden = new Set<BytePath>([
    ...paths,
    ...found.filter(({ kind }) => kind !== 'directory').map(({ path }) => cleanPath(path)),
  ])
  const hasHiddenParent = (path: BytePath): boolean =>
    [...path.matchAll(/\//g)].some(({ index }) => hidden.has(path.slice(0, index)))
  return paths
    .filter((path) => !hasHiddenParent(path) && !TRACES.test(path))
    .map((path) => ({ kind: 'whiteout', path: decode(path), opaque: false }))
}

/** Which name of a file comes first depends on the file system; here it is the smallest. */
function inOrder(entries: readonly TarEntry[]): TarEntry[] {
  const names = new Map<BytePath, BytePath[]>()
  for (const { kind, path, target } of entries) {
    if (kind !== 'hardlink') continue
    const first = cleanPath(target)
    names.set(first, [...(names.get(first) ?? [first]), cleanPath(path)])
  }
  const smallest = new Map([...names].map(([first, all]) => [first, all.toSorted()[0] ?? first]))
  return entries.map((entry) => {
    const path = cleanPath(entry.path)
    const chosen = smallest.get(entry.kind === 'hardlink' ? cleanPath(entry.target) : path)
    if (chosen === undefined) return entry
    if (entry.kind === 'hardlink' && chosen === path) {
      const first = entries.find((other) => cleanPath(other.path) === cleanPath(entry.target)) ?? entry
      return { ...first, path }
    }
    if (chosen === path) return entry
    return { ...entry, kind: 'hardlink', path, target: chosen, sizeBytes: 0 }
  })
}

const OVERLAY_XATTR = /^(trusted|user)\.overlay\./

function toEntries(entry: TarEntry, path: string, all: readonly TarEntry[], tarFile: string): Entry[] {
  const { mode, uid, gid } = entry
  const base = { path, mode, uid, gid }
  switch (entry.kind) {
    case 'file': {
      const { offset, sizeBytes } = entry
      const open = async function* (options: { offset?: number | undefined } = {}): AsyncGenerator<Uint8Array> {
        const start = offset + (options.offset ?? 0)
        if (start < offset + sizeBytes) yield* createReadStream(tarFile, { start, end: offset + sizeBytes - 1 })
      }
      return [{ kind: 'file', ...base, sizeBytes, open }]
    }
    case 'directory':
      return [{ kind: 'directory', ...base }]
    case 'symlink':
      return [{ kind: 'symlink', ...base, target: decode(entry.target) }]
    case 'hardlink': {
      const target = cleanPath(entry.target)
      const first = all.find((other) => cleanPath(other.path) === target)
      // A second name of a link is a link of its own; a tar's readers do not agree on links to links.
      if (first?.kind === 'symlink') return [{ kind: 'symlink', ...base, mode: 0o777, target: decode(first.target) }]
      return [{ kind: 'hardlink', ...base, target: decode(target) }]
    }
    case 'device':
      if (entry.device.major === 0 && entry.device.minor === 0) return [{ kind: 'whiteout', path, opaque: false }]
      return refuse('a device node', path)
    case 'fifo':
      return refuse('a named pipe', path)
  }
}

function refuse(what: string, path: string): never {
  throw new BuildError('RUN_FAILED', `The command left ${what}, which a layer cannot hold: /${path}`, {
    hint: 'Remove it at the end of the command.',
  })
}

/** What runtimes put there to mount upon: empty files and folders that the image does not have. */
function mountPoints(
  binds: readonly BindMount[],
  found: readonly TarEntry[],
  { folders, deleted }: ContainerChanges,
): Set<BytePath> {
  const targets = ['/proc', '/sys', '/dev', '/etc/resolv.conf', '/etc/hosts', ...binds.map((bind) => bind.destination)]
  const paths = new Map(found.map((entry) => [cleanPath(entry.path), entry]))
  const changed = [...paths.keys(), ...deleted.map(cleanPath)]
  const dropped = new Set<BytePath>()
  for (const target of targets) {
    let path: BytePath = cleanPath(Buffer.from(target).toString('latin1'))
    const entry = paths.get(path)
    const isMark =
      entry !== undefined && (entry.kind === 'directory' || (entry.kind === 'file' && entry.sizeBytes === 0))
    if (!isMark) continue
    // Upwards as long as a folder holds nothing else and is not the image's.
    while (path !== '' && findInImage(folders, `/${decode(path)}`)?.stats === undefined) {
      if (changed.some((other) => other.startsWith(`${path}/`) && !dropped.has(other))) break
      dropped.add(path)
      path = path.slice(0, Math.max(path.lastIndexOf('/'), 0))
    }
    // A folder of the image that was touched for this alone.
    const mode = findInImage(folders, `/${decode(path)}`)?.stats?.mode
    const isSame = mode !== undefined && (mode & 0o7777) === paths.get(path)?.mode
    if (isSame && !changed.some((other) => other.startsWith(`${path}/`) && !dropped.has(other))) dropped.add(path)
  }
  return dropped
}

function decode(path: BytePath): string {
  const bytes = Buffer.from(path, 'latin1')
  if (!isUtf8(bytes)) {
    throw new BuildError('RUN_FAILED', `The command left a name that is no UTF-8: ${printable(path)}`, {
      hint: 'Rename or remove it at the end of the command.',
    })
  }
  return bytes.toString('utf8')
}
