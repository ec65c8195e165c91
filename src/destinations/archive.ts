import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import pLimit from 'p-limit'
import { digestAlgorithm, digestHex, type Descriptor, type Digest } from 'oci-spec-types'
import { encodeTarHeader, TAR_END, tarPadding } from '../../layers/tar-header.ts'
import { explainWriteError, writeAll } from '../core/atomic-file.ts'
import { openBytes } from '../core/bytes.ts'
import { verify } from '../core/digest.ts'
import { makeFolder } from '../core/make-folder.ts'
import { behindLinks } from '../core/named-file.ts'
import { removeLeft, temporaryName } from '../core/temporary-name.ts'
import { writeStream } from '../core/write-stream.ts'
import type { RawManifest } from '../../registry/manifest.ts'
import { assertSingle, manifestBlob, type Blob, type Content } from './content.ts'
import type { Destination, PutBlobOptions } from './destination.ts'
import { formatLayoutIndex, LAYOUT_FILE, namedEntry } from './oci-layout.ts'

/** An OCI layout in one tar file. Replaces the file; where a link leads to it, the link stays. */
export function ociArchiveDestination(path: string, tag: string | undefined): Destination {
  const name = `oci-archive:${path}${tag === undefined ? '' : `:${tag}`}`
  return archiveDestination({ path, name, entry: (root) => namedEntry(root, tag), isSingle: false, more: () => [] })
}

/**
 * What `docker load` and `podman load` read: an OCI layout in a tar, with Docker's own `manifest.json` beside it, as
 * `docker save` writes it since version 25. Layers stay compressed. Replaces the file, as above.
 *
 * @param reference the name that a load gives the image, such as `model:v1`
 */
export function dockerArchiveDestination(path: string, reference: string | undefined): Destination {
  return archiveDestination({
    path,
    name: `docker-archive:${path}${reference === undefined ? '' : `:${reference}`}`,
    entry: (root) => ({
      ...namedEntry(root, reference === undefined ? undefined : tagPart(reference)),
    }),
    isSingle: true,
    more: (content) => {
      const [config, ...layers] = namedBlobs(content.manifest)
      const manifest = {
        Config: config === undefined ? '' : entryPath(config.digest),
        RepoTags: reference === undefined ? [] : [reference],
        Layers: layers.map(({ digest }) => entryPath(digest)),
      }
      return [{ path: 'manifest.json', bytes: Buffer.from(JSON.stringify([manifest])) }]
    },
  })
}

interface ArchiveOptions {
  readonly path: string
  readonly name: string
  readonly entry: (root: RawManifest) => Descriptor
  readonly isSingle: boolean
  /** Files after the index. */
  readonly more: (content: Content) => readonly { readonly path: string; readonly bytes: Buffer }[]
}

function archiveDestination(options: ArchiveOptions): Destination {
  const { name } = options
  const writer = new ArchiveWriter(options.path)
  // Entries follow each other: what arrives at the same time waits.
  const inTurn = pLimit(1)
  let content: Content | undefined
  return {
    name,
    concurrency: 1,
    async begin(begun) {
      if (options.isSingle) assertSingle(begun, name)
      content = begun
      await writer.start()
      await writer.add('oci-layout', LAYOUT_FILE)
      return false
    },
    putBlob: (blob, options) => inTurn(() => writer.addBlob(blob, options)),
    putManifest: (manifest) => inTurn(async () => void (await writer.addBlob(manifestBlob(manifest)))),
    async finish(root) {
      await writer.addBlob(manifestBlob(root))
      await writer.add('index.json', formatLayoutIndex([options.entry(root)]))
      for (const file of content === undefined ? [] : options.more(content)) await writer.add(file.path, file.bytes)
      await writer.finish()
    },
    abort: () => writer.abort(),
  }
}

/** Where a blob lies in an archive. */
function entryPath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`
}

function namedBlobs(manifest: RawManifest): readonly Descriptor[] {
  const { config, layers } = JSON.parse(manifest.bytes.toString('utf8')) as {
    readonly config: Descriptor
    readonly layers: readonly Descriptor[]
  }
  return [config, ...layers]
}

function tagPart(reference: string): string {
  const colon = reference.lastIndexOf(':')
  return colon > reference.lastIndexOf('/') ? reference.slice(colon + 1) : 'latest'
}

/** Writes a tar beside its final place, which may lie behind a link, and moves it there when it is whole. */
class ArchiveWriter {
  /** As the user named it. */
  readonly #path: string
  #place: string
  #temporary = ''
  readonly #known = new Set<string>()
  #file: FileHandle | undefined
  /** Length of the whole entries; a broken one is cut off again. */
  #length = 0

  constructor(path: string) {
    this.#path = path
    this.#place = path
  }

  async start(): Promise<void> {
    await this.#explaining(async () => {
      this.#place = await behindLinks(this.#path)
      const folder = dirname(this.#place)
      this.#temporary = join(folder, temporaryName('.tmp'))
      await makeFolder(folder)
      await removeLeft(folder, '.tmp')
      this.#file = await open(this.#temporary, 'wx', 0o644)
    })
  }

  async add(path: string, content: string | Uint8Array): Promise<void> {
    const bytes = Buffer.from(content)
    await this.#entry(path, bytes.length, openBytes(bytes)())
  }

  async addBlob(
    { descriptor, open: openBlob }: Blob,
    { onBytes, signal }: PutBlobOptions = {},
  ): Promise<'exists' | 'uploaded'> {
    const path = entryPath(descriptor.digest)
    if (this.#known.has(path)) return 'exists'
    await this.#entry(
      path,
      descriptor.size,
      verify(openBlob({ signal }), descriptor, `the blob ${descriptor.digest}`),
      onBytes,
    )
    this.#known.add(path)
    return 'uploaded'
  }

  async finish(): Promise<void> {
    await this.#explaining(async () => {
      const file = this.#opened()
      await writeAll(file, TAR_END)
      await file.datasync()
      await file.close()
      this.#file = undefined
      await rename(this.#temporary, this.#place)
    })
  }

  async abort(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close()
    if (this.#temporary !== '') await rm(this.#temporary, { force: true })
  }

  async #entry(
    path: string,
    sizeBytes: number,
    stream: AsyncIterable<Uint8Array>,
    onBytes?: (bytes: number) => void,
  ): Promise<void> {
    const file = this.#opened()
    await this.#explaining(async () => {
      try {
        const header = encodeTarHeader({ type: 'file', path, mode: 0o644, mtimeSeconds: 0, sizeBytes })
        await writeAll(file, header)
        const done = await writeStream(file, stream, onBytes)
        const padding = tarPadding(sizeBytes)
        if (padding > 0) await writeAll(file, Buffer.alloc(padding))
        this.#length += header.length + done + padding
      } catch (error) {
        await this.#rewind()
        throw error
      }
    })
  }

  /** Takes a half-written entry back, so that the blob can be brought again. */
  async #rewind(): Promise<void> {
    const file = this.#opened()
    await file.truncate(this.#length)
    await file.close()
    this.#file = await open(this.#temporary, 'a')
  }

  #opened(): FileHandle {
    if (this.#file === undefined) throw new RangeError('The archive is not open')
    return this.#file
  }

  async #explaining(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      throw explainWriteError(error, this.#path)
    }
  }
}
