import { copied, type Open } from '../../src/core/bytes.ts'
import { BuildError } from '../../src/core/errors.ts'
import type { RemoteFile } from '../../src/core/remote-file.ts'
import { openDeb, type Deb } from '../../src/debian/deb.ts'
import { diverter, type Diversion } from '../../src/debian/diversions.ts'
import { placeMembers, type DebFacts, type PlacedMember } from '../../src/debian/facts.ts'
import type { TarMember } from '../../src/core/tar-reader.ts'
import { SYSTEM_LINKS } from '../../src/debian/paths.ts'
import { USUAL_MODE, type FolderMode } from '../../src/debian/folder-mode.ts'
import { isLeftOut, type LeaveOut } from '../../src/debian/leave-out.ts'
import { explainUnread, openForwards, type LayerContext, type RemoteAccess } from '../context.ts'
import { factsOf, promiseFacts, type FactsPromises } from '../deb-facts.ts'
import type { Entry } from '../entry.ts'
import { parentsOf } from '../paths.ts'
import { indexingOf, layerOfLarge } from '../threaded-layer.ts'
import type { LayerKind } from './kind.ts'

/** A package to lay down, by name and content. */
export interface DebSource extends RemoteFile {
  readonly package: string
  readonly version: string
  readonly architecture: string
  /** Packages whose files this one may replace. */
  readonly replaces?: readonly string[] | undefined
}

/** The files of a group of Debian packages. */
export interface DebsLayerSpec {
  readonly kind: 'debs'
  readonly debs: readonly DebSource[]
  /** Which files are not laid down. */
  readonly leaveOut: LeaveOut
  /** Links at the root that this layer creates, such as `lib -> usr/lib`; the first layer of a file system does. */
  readonly rootLinks?: Readonly<Record<string, string>> | undefined
  /** Links to folders that the base has beside the usual ones, path -> destination. */
  readonly baseLinks?: Readonly<Record<string, string>> | undefined
  /** Folders of the base whose mode or owner is not the usual one and stays as it is, by path. */
  readonly keptFolders?: Readonly<Record<string, FolderMode>> | undefined
  /** Places of the base that are kept for another package's file, or for none. */
  readonly diversions?: readonly Diversion[] | undefined
}

/** Lays the files of Debian packages down, without running anything. */
export const debsKind: LayerKind<DebsLayerSpec> = {
  kind: 'debs',
  // Packages have the time of the distribution, not of the project: SOURCE_DATE_EPOCH must not make this layer new.
  make: (spec, context) => {
    const promises = promiseFacts(spec.debs, context)
    const { compression, checks } = context
    // Decompressing takes longer than compressing: another thread would cost 15 MB and stand still.
    const indexing = indexingOf(context, `A layer of ${spec.debs.length} packages`)
    return layerOfLarge(debEntries(spec, context, promises), { compression, checks, indexing, mayShare: true })
  },
}

/**
 * The entries of a layer of packages, package after package in an order that depends on the packages alone.
 *
 * A path that two packages have comes from the one that replaces the other (Debian Policy 7.6), once.
 *
 * @throws BuildError ARCHIVE_INVALID for a package that is no valid .deb or that overwrites another without leave
 */
export async function* debEntries(
  spec: DebsLayerSpec,
  context: LayerContext,
  promises: FactsPromises = promiseFacts(spec.debs, context),
): AsyncGenerator<Entry> {
  try {
    yield* laidDown(spec, context, promises)
  } finally {
    promises.giveUp()
  }
}

async function* laidDown(spec: DebsLayerSpec, context: LayerContext, promises: FactsPromises): AsyncGenerator<Entry> {
  const links = new Map(Object.entries({ ...SYSTEM_LINKS, ...spec.baseLinks }))
  const divert = diverter(spec.diversions ?? [], links)
  const owners = new Map<string, DebSource>()
  const kept = spec.keptFolders ?? {}
  const folders = new Set<string>()
  for (const [path, target] of Object.entries(spec.rootLinks ?? {})) {
    yield* missingParents(target, folders, kept)
    yield { kind: 'directory', path: target, mode: 0o755 }
    yield { kind: 'symlink', path, target, mode: 0o777 }
    folders.add(target)
  }
  for await (const { deb, opened } of opening(inLayingOrder(spec.debs), context)) {
    for await (const placed of placing(deb, opened, links, promises)) {
      const { member } = placed
      const path = member.type === 'directory' ? placed.path : divert(placed.path, deb.package)
      if (isLeftOut(path, spec.leaveOut)) continue
      if (member.type === 'directory') {
        if (folders.has(path) || kept[path] !== undefined || spec.rootLinks?.[path] !== undefined) continue
        yield* missingParents(path, folders, kept)
        folders.add(path)
      } else {
        const owner = owners.get(path)
        if (owner !== undefined && mayReplace(owner, deb)) continue
        if (owner !== undefined) throw overwrites(path, deb, owner)
        if (spec.rootLinks?.[path] !== undefined) continue
        owners.set(path, deb)
        yield* missingParents(path, folders, kept)
      }
      const linkPath = member.type === 'hardlink' ? divert(placed.linkPath, deb.package) : placed.linkPath
      yield entryOf({ ...placed, path, linkPath })
    }
  }
}

// A layer that holds every folder above what it holds can be unpacked by itself and stacked on others.
function* missingParents(
  path: string,
  folders: Set<string>,
  kept: Readonly<Record<string, FolderMode>>,
): Generator<Entry> {
  for (const parent of parentsOf([path])) {
    if (folders.has(parent)) continue
    folders.add(parent)
    yield { kind: 'directory', path: parent, ...(kept[parent] ?? USUAL_MODE) }
  }
}

/**
 * The facts of a package: those of a layer of the same build that lays it down now or has laid it down, else those of an
 * earlier build, else it is read for them.
 */
export async function debFacts(deb: DebSource, context: LayerContext): Promise<DebFacts> {
  const promised = await factsOf(deb.sha256, context)
  if (promised !== undefined) return promised
  const known = await context.facts?.get(deb.sha256)
  if (known !== undefined) return known
  const promises = promiseFacts([deb], context)
  const links = new Map(Object.entries(SYSTEM_LINKS))
  for await (const { member } of placing(deb, openSource(deb, context), links, promises)) void member
  const facts = await factsOf(deb.sha256, context)
  if (facts === undefined) throw new RangeError(`No facts of ${deb.package}`)
  return facts
}

/** A package whose content has begun to be read. */
interface OpenedDeb {
  readonly file: RemoteAccess
  readonly deb: Deb
  readonly members: AsyncIterable<TarMember>
  /** Settles when its first member is there, or failed to come. */
  readonly hasBegun: Promise<void>
  close(): Promise<void>
}

/**
 * Opens package after package, each while the one before it is still being laid down: they decompress side by side.
 *
 * The content of the next is begun when that of the current has begun: threads are few, and whoever is read now must
 * never wait for one that is held by what is read after it.
 */
async function* opening(
  debs: readonly DebSource[],
  context: LayerContext,
): AsyncGenerator<{ readonly deb: DebSource; readonly opened: Promise<OpenedDeb> }> {
  const [first, ...rest] = debs
  if (first === undefined) return
  const begin = (deb: DebSource, before?: Promise<OpenedDeb>): { deb: DebSource; opened: Promise<OpenedDeb> } => {
    const opened = openSource(deb, context, before)
    // It may fail, or be interrupted, while the one before it is still read; whoever lays it down hears of it then.
    opened.catch(() => {})
    return { deb, opened }
  }
  let current = begin(first)
  try {
    for (const next of rest) {
      const ready = current
      current = begin(next, ready.opened)
      yield ready
    }
    yield current
  } finally {
    // Closed already when it was laid down; still open when the layer was given up.
    await current.opened.then((opened) => opened.close()).catch(() => {})
  }
}

async function openSource(source: DebSource, context: LayerContext, before?: Promise<OpenedDeb>): Promise<OpenedDeb> {
  context.signal?.throwIfAborted()
  const { url, sha256, sizeBytes } = source
  const file = await openForwards({ url, sha256, sizeBytes }, context)
  try {
    const deb = await openDeb(file, `${source.package} ${source.version}`)
    const members = deb.data()[Symbol.asyncIterator]()
    // Whether that one began or failed is for who reads it.
    const turn = before?.then(({ hasBegun }) => hasBegun).catch(() => {})
    const first = turn === undefined ? members.next() : turn.then(() => members.next())
    // Seen by whoever reads the members.
    first.catch(() => {})
    let isClosed = false
    const close = async (): Promise<void> => {
      if (isClosed) return
      isClosed = true
      await members.return?.()
      await file.close()
    }
    const all = async function* (): AsyncGenerator<TarMember> {
      for (let next = await first; next.done !== true; next = await members.next()) yield next.value
    }
    const hasBegun = first.then(
      () => {},
      () => {},
    )
    return { file, deb, members: all(), hasBegun, close }
  } catch (error) {
    try {
      throw await explainUnread(error, file)
    } finally {
      await file.close()
    }
  }
}

async function* placing(
  source: DebSource,
  opening: Promise<OpenedDeb>,
  links: Map<string, string>,
  promises: FactsPromises,
): AsyncGenerator<PlacedMember> {
  const opened = await opening
  try {
    const { control } = opened.deb
    if (control.get('package') !== source.package || control.get('version') !== source.version) {
      throw new RangeError(`it is ${control.get('package')} ${control.get('version')}`)
    }
    let facts: DebFacts | undefined
    yield* placeMembers(opened.deb, opened.members, links, (found) => {
      facts = found
    })
    await opened.file.prove?.()
    if (facts !== undefined) await promises.keep(source.sha256, facts)
  } catch (given) {
    const error = await explainUnread(given, opened.file)
    if (!(error instanceof RangeError)) throw error
    throw new BuildError(
      'ARCHIVE_INVALID',
      `The package ${source.package} ${source.version} cannot be laid down: ${error.message}`,
      { cause: error },
    )
  } finally {
    await opened.close()
  }
}

// A package that may replace others' files comes before them, so that the first to bring a path owns it.
function inLayingOrder(debs: readonly DebSource[]): DebSource[] {
  const byName = new Map(debs.map((deb) => [deb.package, deb]))
  const order: DebSource[] = []
  const state = new Map<string, 'open' | 'done'>()
  const replacers = new Map<string, string[]>()
  for (const deb of debs) {
    for (const replaced of deb.replaces ?? []) {
      if (byName.has(replaced) && replaced !== deb.package) {
        replacers.set(replaced, [...(replacers.get(replaced) ?? []), deb.package])
      }
    }
  }
  const visit = (name: string): void => {
    const deb = byName.get(name)
    if (deb === undefined || state.has(name)) return
    state.set(name, 'open')
    for (const replacer of (replacers.get(name) ?? []).sort()) visit(replacer)
    state.set(name, 'done')
    order.push(deb)
  }
  for (const name of [...byName.keys()].sort()) visit(name)
  return order
}

function mayReplace(owner: DebSource, other: DebSource): boolean {
  return (owner.replaces?.includes(other.package) ?? false) || (other.replaces?.includes(owner.package) ?? false)
}

function overwrites(path: string, deb: DebSource, owner: DebSource): BuildError {
  return new BuildError(
    'ARCHIVE_INVALID',
    `The package ${deb.package} overwrites a file of ${owner.package} without declaring that it replaces it: /${path}`,
    { data: { path, packages: [owner.package, deb.package] } },
  )
}

function entryOf({ member, path, linkPath, body }: PlacedMember): Entry {
  const { mode, uid, gid } = member
  switch (member.type) {
    case 'directory':
      return { kind: 'directory', path, mode, uid, gid }
    case 'symlink':
      return { kind: 'symlink', path, target: linkPath, mode: 0o777, uid, gid }
    case 'hardlink':
      return { kind: 'hardlink', path, target: linkPath, mode, uid, gid }
    default:
      return { kind: 'file', path, mode, uid, gid, sizeBytes: member.sizeBytes, open: bodyOpen(body) }
  }
}

// A body is read once, and its memory is used again when the next chunk is asked for.
function bodyOpen(body: AsyncIterable<Uint8Array>): Open {
  return ({ reuse = false } = {}) => (reuse ? body : copied(body))
}
