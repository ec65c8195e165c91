import { readFile, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { ANNOTATION, digestAlgorithm, digestHex, type Descriptor, type Digest } from 'oci-spec-types'
import { explainWriteError, writeAtomically, writeFileAtomically } from '../core/atomic-file.ts'
import { Digester, digesting, verify } from '../core/digest.ts'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { makeFolder } from '../core/make-folder.ts'
import { removeLeft } from '../core/temporary-name.ts'
import { writeStream } from '../core/write-stream.ts'
import type { RawManifest } from '../../registry/manifest.ts'
import type { PushedStream, StreamedBlob } from '../../registry/stream-upload.ts'
import { manifestBlob, type Blob } from './content.ts'
import type { Destination, PutBlobOptions } from './destination.ts'
import { withLock } from './lock.ts'

/** The file that says that a folder is an OCI layout. */
export const LAYOUT_FILE = '{"imageLayoutVersion":"1.0.0"}'

/** A copy on another machine that works writes to its files all the time. */
const ABANDONED_MS = 3_600_000

/**
 * Blobs are not forced to the disk one by one, which no other tool does and which costs a pull a tenth of its time. A power cut
 * may leave a short file; the next copy sees it by its size, and every reader by its digest. `index.json` is flushed.
 */
const NOT_FLUSHED = { durable: false }

/** Disks gain little from more. */
const CONCURRENCY = 2

/**
 * A folder as an OCI image layout. Other images in it stay; the entry with the same tag is replaced, without a tag the
 * entry without one.
 *
 * A blob is complete or absent; `index.json` is replaced last, in one step, under a lock against other processes.
 *
 * @see OCI image-spec, image-layout.md
 */
export function layoutDestination(folder: string, tag: string | undefined): Destination {
  const put = async (blob: Blob, options: PutBlobOptions = {}): Promise<'exists' | 'uploaded'> => {
    const { descriptor } = blob
    if ((await sizeOf(blobPath(folder, descriptor.digest))) === descriptor.size) return 'exists'
    await writeBlob(folder, blob, options)
    return 'uploaded'
  }
  return {
    name: `oci:${folder}${tag === undefined ? '' : `:${tag}`}`,
    concurrency: CONCURRENCY,
    prepare: async () => prepareFolder(folder),
    async begin({ manifest }) {
      await prepareFolder(folder)
      await removeLeft(join(folder, 'blobs', 'sha256'), '.tmp', ABANDONED_MS)
      const { digest } = manifest.descriptor
      const entry = (await readLayoutIndex(folder)).find((known) => tagOf(known) === tag)
      // Not believed without a look at the manifest; blobs are looked at one by one.
      return entry?.digest === digest && (await isWhole(folder, manifest))
    },
    putBlob: put,
    putStream: (stream, options) => writeUnnamed(folder, stream, options),
    putManifest: async (manifest) => void (await put(manifestBlob(manifest))),
    async finish(root) {
      await put(manifestBlob(root))
      await writeFileAtomically(join(folder, 'oci-layout'), LAYOUT_FILE)
      await withLock(join(folder, '.index.lock'), async () => {
        const known = await readLayoutIndex(folder)
        const at = known.findIndex((entry) => tagOf(entry) === tag)
        const others = known.filter((entry) => tagOf(entry) !== tag)
        others.splice(at === -1 ? others.length : at, 0, namedEntry(root, tag))
        await writeFileAtomically(join(folder, 'index.json'), formatLayoutIndex(others))
      })
    },
    // Blobs that arrived are whole and harmless; the next try finds them.
    abort: async () => {},
  }
}

/** Where a blob of a layout lies. */
export function blobPath(folder: string, digest: Digest): string {
  return join(folder, 'blobs', digestAlgorithm(digest), digestHex(digest))
}

/** The tag of an entry of `index.json`. */
export function tagOf(entry: Descriptor): string | undefined {
  return entry.annotations?.[ANNOTATION.refName]
}

/** The entry of `index.json` for an image. */
export function namedEntry(root: RawManifest, tag: string | undefined): Descriptor {
  const { mediaType, digest, size } = root.descriptor
  return { mediaType, digest, size, ...(tag === undefined ? {} : { annotations: { [ANNOTATION.refName]: tag } }) }
}

/** The text of `index.json`. */
export function formatLayoutIndex(manifests: readonly Descriptor[]): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests })
}

/** The entries of `index.json`; none when there is no such file yet. @throws BuildError IMAGE_INVALID */
export async function readLayoutIndex(folder: string): Promise<readonly Descriptor[]> {
  const path = join(folder, 'index.json')
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return []
    throw error
  }
  return parseLayoutIndex(text, path)
}

/** Parses an `index.json`. @throws BuildError IMAGE_INVALID */
export async function parseLayoutIndex(text: string, path: string): Promise<readonly Descriptor[]> {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch (error) {
    throw new BuildError('IMAGE_INVALID', `Not JSON: \`${path}\``, { cause: error })
  }
  // Loaded here: commands that read no layout start sooner.
  const { indexSchema } = await import('oci-spec-types/schemas')
  const parsed = indexSchema.safeParse(document)
  if (!parsed.success) throw new BuildError('IMAGE_INVALID', `Not an OCI image index: \`${path}\``)
  return parsed.data.manifests
}

async function prepareFolder(folder: string): Promise<void> {
  try {
    await makeFolder(join(folder, 'blobs', 'sha256'))
  } catch (error) {
    throw explainWriteError(error, folder)
  }
}

async function writeBlob(folder: string, blob: Blob, { onBytes, signal }: PutBlobOptions): Promise<void> {
  const { descriptor, open } = blob
  const stream = verify(open({ signal, reuse: true, isVerified: true }), descriptor, `the blob ${descriptor.digest}`)
  await writeAtomically(blobPath(folder, descriptor.digest), (file) => writeStream(file, stream, onBytes), NOT_FLUSHED)
}

/** The file is named when its digest is known. */
async function writeUnnamed(
  folder: string,
  { open, sizeBytes }: PushedStream,
  { onBytes, signal }: PutBlobOptions = {},
): Promise<StreamedBlob> {
  const place = { folder: join(folder, 'blobs', 'sha256'), name: ({ digest }: StreamedBlob) => digestHex(digest) }
  const fill = async (file: FileHandle): Promise<StreamedBlob> => {
    const digester = new Digester()
    await writeStream(file, digesting(open({ signal, reuse: true }), digester), onBytes)
    const size = digester.sizeBytes
    if (sizeBytes !== undefined && size !== sizeBytes)
      throw new BuildError('SIZE_MISMATCH', `The source of a blob gave ${size} bytes instead of ${sizeBytes}`)
    return { digest: digester.digest(), size }
  }
  return writeAtomically(place, fill, NOT_FLUSHED)
}

/** Whether everything that a manifest names is there, by size. */
async function isWhole(folder: string, manifest: RawManifest): Promise<boolean> {
  const has = async ({ digest, size }: Pick<Descriptor, 'digest' | 'size'>): Promise<boolean> =>
    (await sizeOf(blobPath(folder, digest))) === size
  if (!(await has(manifest.descriptor))) return false
  const document = JSON.parse(manifest.bytes.toString('utf8')) as {
    readonly config?: Descriptor
    readonly layers?: readonly Descriptor[]
    readonly manifests?: readonly Descriptor[]
  }
  // The manifests of an index are copied again: what they name is not known here.
  if (document.manifests !== undefined) return false
  const named = [...(document.config === undefined ? [] : [document.config]), ...(document.layers ?? [])]
  return (await Promise.all(named.map(has))).every(Boolean)
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}
