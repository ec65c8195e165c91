import { lstat, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ANNOTATION, isDigest, type Descriptor, type Digest } from 'oci-spec-types'
import { systemErrorCode } from '../core/errors.ts'
import { openEntry } from './entry.ts'
import { parseRecord } from './records.ts'
import type { Store } from './store.ts'

/** A file of the store. */
export interface StoredFile {
  readonly path: string
  readonly sizeBytes: number
  /** When it was written or last used, in milliseconds since the epoch. */
  readonly usedMs: number
}

/** A blob of the store and what it is for. */
export interface StoredBlob extends StoredFile {
  readonly digest: Digest
  /** `image`: part of a local image; `layer`: what a layer's inputs became; `download`: anything else that was fetched. */
  readonly role: 'image' | 'layer' | 'download'
  /** The names of the local images that it is part of, sorted. */
  readonly images: readonly string[]
}

/** An entry of the index of the store, which is an OCI layout too: a local image. */
export interface LocalImage {
  readonly name: string
  /** Everything below the entry and itself. */
  readonly digests: ReadonlySet<Digest>
}

/** All blobs, in the order of their digests. */
export async function listBlobs(store: Store): Promise<StoredBlob[]> {
  const [images, layers] = await Promise.all([localImages(store), layerDigests(store)])
  const blobs: StoredBlob[] = []
  for (const algorithm of ['sha256', 'sha512']) {
    const folder = join(store.folder, 'blobs', algorithm)
    for (const hex of (await entriesOf(folder)).sort()) {
      const digest = `${algorithm}:${hex}`
      const file = await statFile(join(folder, hex))
      if (!isDigest(digest) || file === undefined) continue
      const names = images.filter(({ digests }) => digests.has(digest)).map(({ name }) => name)
      const role = names.length > 0 ? 'image' : layers.has(digest) ? 'layer' : 'download'
      blobs.push({ ...file, digest, role, images: names.sort() })
    }
  }
  return blobs
}

/** The images that were built or copied into the store by name. */
export async function localImages(store: Store): Promise<LocalImage[]> {
  const index = await readJson(join(store.folder, 'index.json'))
  return Promise.all(
    descriptorsIn(index, 'manifests').map(async (descriptor) => {
      const digests = new Set<Digest>()
      await addBelow(store, descriptor.digest, digests)
      return { name: descriptor.annotations?.[ANNOTATION.refName] ?? descriptor.digest, digests }
    }),
  )
}

/** The spaces of small answers, each with its files. */
export async function listCaches(store: Store): Promise<ReadonlyMap<string, readonly StoredFile[]>> {
  const folder = join(store.folder, 'cache')
  const spaces = (await entriesOf(folder)).sort()
  return new Map(
    await Promise.all(spaces.map(async (space) => [space, await filesBelow(join(folder, space))] as const)),
  )
}

/**
 * What is being written, or was left by a process that was killed: files, and folders as a whole. A folder may hold a
 * repository with links to anywhere, so no link is followed.
 */
export async function listTemporary(store: Store): Promise<StoredFile[]> {
  const folder = join(store.folder, 'tmp')
  const found = await Promise.all((await entriesOf(folder)).sort().map((name) => measure(join(folder, name))))
  return found.filter((file) => file !== undefined)
}

/** The size of everything in a folder, or of a file, and the last time that any of it was written. */
export async function measure(path: string): Promise<StoredFile | undefined> {
  try {
    const found = await lstat(path)
    if (!found.isDirectory()) return { path, sizeBytes: found.size, usedMs: found.mtimeMs }
    const total = { path, sizeBytes: 0, usedMs: found.mtimeMs }
    for (const name of await readdir(path)) {
      const inner = await measure(join(path, name))
      total.sizeBytes += inner?.sizeBytes ?? 0
      total.usedMs = Math.max(total.usedMs, inner?.usedMs ?? 0)
    }
    return total
  } catch (error) {
    const code = systemErrorCode(error)
    // Gone since it was listed, or another user's.
    if (code === 'ENOENT' || code === 'EACCES') return undefined
    throw error
  }
}

/** The size and time of a file; undefined when there is none. */
export async function statFile(path: string): Promise<StoredFile | undefined> {
  try {
    const found = await stat(path)
    return found.isFile() ? { path, sizeBytes: found.size, usedMs: found.mtimeMs } : undefined
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** The records of layers, by file; undefined for one that is damaged. */
export async function listRecords(store: Store): Promise<ReadonlyMap<string, ReturnType<typeof parseRecord>>> {
  const files = await filesBelow(join(store.folder, 'cache', 'layers'))
  const read = await Promise.all(files.map(async ({ path }) => [path, await readIfThere(path)] as const))
  return new Map(read.flatMap(([path, sealed]) => (sealed === undefined ? [] : [[path, recordIn(sealed)] as const])))
}

function recordIn(sealed: Buffer): ReturnType<typeof parseRecord> {
  const bytes = openEntry(sealed)
  return bytes && parseRecord(bytes.toString('utf8'))
}

/** Undefined for one that went away since it was listed. What cannot be read is not damaged, and must not be taken for it. */
async function readIfThere(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  })
}

async function layerDigests(store: Store): Promise<ReadonlySet<Digest>> {
  const records = [...(await listRecords(store)).values()]
  return new Set(records.flatMap((record) => (record === undefined ? [] : [record.digest])))
}

/** Manifests are small and few; the walk reads those and nothing else. */
async function addBelow(store: Store, digest: Digest, found: Set<Digest>): Promise<void> {
  if (found.has(digest)) return
  found.add(digest)
  const document = await readJson(store.path(digest))
  for (const child of descriptorsIn(document, 'manifests')) await addBelow(store, child.digest, found)
  for (const { digest: blob } of descriptorsIn(document, 'config', 'layers')) found.add(blob)
}

/** A file that is absent or no JSON names nothing. */
async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError || systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

function descriptorsIn(document: unknown, ...members: readonly string[]): Descriptor[] {
  if (typeof document !== 'object' || document === null) return []
  const values = members.flatMap((member) => (document as Record<string, unknown>)[member] ?? [])
  return values.filter(isDescriptor)
}

function isDescriptor(value: unknown): value is Descriptor {
  if (typeof value !== 'object' || value === null || !('digest' in value)) return false
  return typeof value.digest === 'string' && isDigest(value.digest)
}

async function filesBelow(folder: string): Promise<StoredFile[]> {
  const found: StoredFile[] = []
  for (const name of (await entriesOf(folder)).sort()) {
    const path = join(folder, name)
    const file = await statFile(path)
    if (file === undefined) found.push(...(await filesBelow(path)))
    else found.push(file)
  }
  return found
}

/** The names in a folder, in no order; none where there is none. */
export async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
