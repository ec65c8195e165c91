import { Digester } from '../src/core/digest.ts'
import { BuildError } from '../src/core/errors.ts'
import { compress, layerMediaType, type Framing } from './compress.ts'
import { DEFAULT_MTIME_SECONDS } from './context.ts'
import type { Entry, WhiteoutEntry } from './entry.ts'
import { joinChunks } from './join-chunks.ts'
import type { LayerStream } from './layer.ts'
import { comparePaths, parentsOf } from './paths.ts'
import { encodeTarHeader, TAR_END, tarPadding } from './tar-header.ts'

/** How entries become a layer. */
export interface FilesOptions {
  /** `gzip` unless given. */
  readonly compression?: Framing | undefined
  /** The time of entries that have none of their own; {@link DEFAULT_MTIME_SECONDS} unless given. */
  readonly mtimeSeconds?: number | undefined
}

/**
 * Makes a layer of entries in any order: sorted, parents added, the same bytes on every host.
 *
 * @throws BuildError PROJECT_INVALID for a name that a layer cannot hold (`.wh.*` means "deleted" there)
 * @throws RangeError for two entries of one path, or a hard link to none
 */
export function layerOfEntries(entries: Iterable<Entry>, options: FilesOptions = {}): LayerStream {
  return layerOfTar(writeTar(arrange(entries), options.mtimeSeconds), options.compression)
}

/**
 * Makes the same layer of entries that are sorted by path and hold no hard links, of which only one is held at a time.
 *
 * @throws BuildError, RangeError as {@link layerOfEntries}, while it is read
 */
export function layerOfSorted(entries: Iterable<Entry>, options: FilesOptions = {}): LayerStream {
  return layerOfTar(writeTar(withParents(entries), options.mtimeSeconds), options.compression)
}

/** Makes a layer of a tar that is written elsewhere. */
export function layerOfTar(tar: AsyncIterable<Uint8Array>, framing: Framing = 'gzip'): LayerStream {
  const digester = new Digester()
  let isRead = false
  const hashed = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of tar) {
      digester.update(chunk)
      yield chunk
    }
    isRead = true
  }
  return {
    mediaType: layerMediaType(framing),
    blob: compress(hashed(), framing),
    diffId: () => {
      if (!isRead) throw new TypeError('A diffId is known only when the blob was read to its end')
      return digester.digest()
    },
  }
}

/** Writes entries as a tar, in the order given; nothing is added. */
export async function* writeTar(
  entries: Iterable<Entry> | AsyncIterable<Entry>,
  mtimeSeconds = DEFAULT_MTIME_SECONDS,
): AsyncGenerator<Uint8Array> {
  yield* joinChunks(writeTarParts(entries, { mtimeSeconds }))
}

/** How a tar is written part by part. */
export interface TarPartsOptions {
  /** The time of entries that have none of their own; {@link DEFAULT_MTIME_SECONDS} unless given. */
  readonly mtimeSeconds?: number | undefined
  /** Whether the consumer is done with a part when it asks for the next. */
  readonly reuse?: boolean | undefined
}

/** Sorts entries, adds missing parents, puts hard links after what they point at. */
export function arrange(entries: Iterable<Entry>): readonly Entry[] {
  const byPath = new Map<string, Entry>()
  for (const entry of entries) {
    const path = tarPath(entry)
    if (byPath.has(path)) throw new RangeError(`Two entries for one path: \`${path}\``)
    byPath.set(path, entry)
  }
  for (const path of parentsOf(byPath.keys())) {
    if (!byPath.has(path)) byPath.set(path, { kind: 'directory', path, mode: 0o755 })
  }
  const sorted = [...byPath].toSorted(([a], [b]) => comparePaths(a, b)).map(([, entry]) => entry)
  const links = sorted.filter((entry) => entry.kind === 'hardlink')
  for (const { path, target } of links) {
    if (byPath.get(target)?.kind !== 'file')
      throw new RangeError(`\`${path}\` is a hard link to no file: \`${target}\``)
  }
  return [...sorted.filter((entry) => entry.kind !== 'hardlink'), ...links]
}

/** Adds missing parents to sorted entries. */
function* withParents(entries: Iterable<Entry>): Generator<Entry> {
  let last = ''
  for (const entry of entries) {
    const path = tarPath(entry)
    if (last !== '' && comparePaths(last, path) >= 0)
      throw new RangeError(`\`${path}\` does not come after \`${last}\``)
    for (const parent of newParents(path, last)) yield { kind: 'directory', path: parent, mode: 0o755 }
    yield entry
    last = path
  }
}

/** The folders above a path that neither are nor hold the one before it. */
function newParents(path: string, last: string): readonly string[] {
  const parents: string[] = []
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
    const isKnown = last.startsWith(path.slice(0, slash)) && (last.length === slash || last[slash] === '/')
    if (isKnown) break
    parents.unshift(path.slice(0, slash))
  }
  return parents
}

/** The path under which an entry stands in the tar. @throws BuildError PROJECT_INVALID */
function tarPath(entry: Entry): string {
  if (entry.kind === 'whiteout') return whiteoutPath(entry)
  const name = entry.path.slice(entry.path.lastIndexOf('/') + 1)
  if (name.startsWith('.wh.')) {
    throw new BuildError('PROJECT_INVALID', `A layer cannot hold a file of this name: \`${entry.path}\``, {
      hint: 'Names that start with `.wh.` mark deleted files in image layers. Rename it, or list it in .dockerignore.',
    })
  }
  return entry.path
}

function whiteoutPath({ path, opaque }: WhiteoutEntry): string {
  if (opaque) return `${path}/.wh..wh..opq`
  const slash = path.lastIndexOf('/')
  return `${path.slice(0, slash + 1)}.wh.${path.slice(slash + 1)}`
}

/** Writes entries as a tar, in the order given, in parts as they come: headers, chunks of content, padding. */
export async function* writeTarParts(
  entries: Iterable<Entry> | AsyncIterable<Entry>,
  { mtimeSeconds: layerMtime = DEFAULT_MTIME_SECONDS, reuse = false }: TarPartsOptions = {},
): AsyncGenerator<Uint8Array> {
  for await (const entry of entries) {
    if (entry.kind === 'whiteout') {
      yield encodeTarHeader({ type: 'file', path: whiteoutPath(entry), mode: 0o644, mtimeSeconds: layerMtime })
      continue
    }
    const { path, mode, mtimeSeconds = layerMtime, uid, gid } = entry
    const target = 'target' in entry ? entry.target : undefined
    const sizeBytes = entry.kind === 'file' ? entry.sizeBytes : 0
    yield encodeTarHeader({ type: entry.kind, path, mode, mtimeSeconds, uid, gid, target, sizeBytes })
    if (entry.kind !== 'file') continue
    let done = 0
    for await (const chunk of entry.open({ reuse })) {
      done += chunk.length
      if (done > sizeBytes) break
      yield chunk
    }
    if (done !== sizeBytes) {
      throw new BuildError('PROJECT_INVALID', `\`${path}\` changed its size while it was read`, {
        hint: 'Something writes to this file. Build again when it is done.',
      })
    }
    yield TAR_END.subarray(0, tarPadding(sizeBytes))
  }
  yield TAR_END
}
