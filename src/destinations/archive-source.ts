import { OCI, type Descriptor, type Digest } from 'oci-spec-types'
import { readManifest, type RawManifest } from '../../registry/manifest.ts'
import { formatReference, parseReference } from '../../registry/reference.ts'
import { Digester, digestOf } from '../core/digest.ts'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { layoutOver, type LayoutFiles } from './layout-source.ts'
import type { Source } from './source.ts'
import { openTar, type TarFile, type TarFiles } from './tar-files.ts'

/** Reads an OCI layout in a tar file. @throws BuildError IMAGE_NOT_FOUND, ARCHIVE_INVALID */
export async function ociArchiveSource(path: string, tag: string | undefined): Promise<Source> {
  return layoutOver(layoutFiles(await openArchive(path), path), `oci-archive:${path}`, tag)
}

/**
 * Reads what `docker save` writes, of any version, and what this program writes.
 *
 * @param reference one of several images, by its name in the archive
 * @throws BuildError IMAGE_NOT_FOUND, ARCHIVE_INVALID
 */
export async function dockerArchiveSource(path: string, reference: string | undefined): Promise<Source> {
  const files = await openArchive(path)
  const place = `docker-archive:${path}`
  const name = reference === undefined ? place : `${place}:${reference}`
  const blobs = new Map<Digest, TarFile>()
  const find = (digest: Digest): TarFile => blobs.get(digest) ?? missing(path, digest)
  return {
    name,
    root: () => synthesize(files, blobs, path, reference),
    manifest: () => Promise.reject(new RangeError('A docker-archive holds no index')),
    blob: (descriptor) => (options) => find(descriptor.digest).open(options),
    home: undefined,
  }
}

function layoutFiles(files: TarFiles, path: string): LayoutFiles {
  const find = (name: string): TarFile => files.find(name) ?? missing(path, name)
  const blob = (digest: Digest): TarFile => find(`blobs/${digest.replace(':', '/')}`)
  return {
    readText: async (name) => Buffer.from(await find(name).read()).toString('utf8'),
    readBlob: async (digest) => Buffer.from(await blob(digest).read()),
    openBlob: (digest) => (options) => blob(digest).open(options),
  }
}

/** One line of Docker's `manifest.json`. */
interface SavedImage {
  readonly Config: string
  readonly RepoTags?: readonly string[] | null
  readonly Layers: readonly string[]
}

/** Docker's archive names files, not digests: they are hashed once to make a manifest. */
async function synthesize(
  files: TarFiles,
  blobs: Map<Digest, TarFile>,
  path: string,
  reference: string | undefined,
): Promise<RawManifest> {
  const saved = chooseImage(await readSaved(files, path), path, reference)
  const configFile = files.find(saved.Config) ?? missing(path, saved.Config)
  const config = Buffer.from(await configFile.read())
  const configDigest = digestOf(config)
  blobs.set(configDigest, configFile)
  const layers: Descriptor[] = []
  for (const name of saved.Layers) {
    const file = files.find(name) ?? missing(path, name)
    const descriptor = await describeLayer(name, file)
    blobs.set(descriptor.digest, file)
    layers.push(descriptor)
  }
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI.manifest,
      config: { mediaType: OCI.config, digest: configDigest, size: config.length },
      layers,
    }),
  )
  return readManifest(bytes, OCI.manifest, path)
}

async function describeLayer(name: string, file: TarFile): Promise<Descriptor> {
  // A name that is a digest is believed as far as a descriptor is: whoever reads the bytes verifies them.
  const named = /^blobs\/sha256\/([a-f0-9]{64})$/.exec(name)?.[1]
  const digester = new Digester()
  let magic = Buffer.alloc(0)
  for await (const chunk of file.open()) {
    if (magic.length < 4) magic = Buffer.concat([magic, chunk.subarray(0, 4)])
    if (named !== undefined && magic.length >= 4) break
    digester.update(chunk)
  }
  const digest: Digest = named === undefined ? digester.digest() : `sha256:${named}`
  return { mediaType: layerType(magic), digest, size: file.sizeBytes }
}

function layerType(magic: Buffer): string {
  if (magic[0] === 0x1f && magic[1] === 0x8b) return OCI.layerGzip
  if (magic.subarray(0, 4).equals(Buffer.from([0x28, 0xb5, 0x2f, 0xfd]))) return OCI.layerZstd
  return OCI.layer
}

async function readSaved(files: TarFiles, path: string): Promise<readonly SavedImage[]> {
  const file = files.find('manifest.json') ?? missing(path, 'manifest.json')
  let document: unknown
  try {
    document = JSON.parse(Buffer.from(await file.read()).toString('utf8'))
  } catch (error) {
    throw new BuildError('ARCHIVE_INVALID', `Its manifest.json is not JSON: \`${path}\``, { cause: error })
  }
  const isSaved = (entry: unknown): entry is SavedImage => {
    const { Config, Layers } = (entry ?? {}) as Record<string, unknown>
    return typeof Config === 'string' && Array.isArray(Layers) && Layers.every((name) => typeof name === 'string')
  }
  if (!Array.isArray(document) || !document.every(isSaved))
    throw new BuildError('ARCHIVE_INVALID', `Its manifest.json lists no images: \`${path}\``)
  return document
}

function chooseImage(saved: readonly SavedImage[], path: string, reference: string | undefined): SavedImage {
  const wanted = reference === undefined ? undefined : formatReference(parseReference(reference))
  const isWanted = (name: string): boolean => formatReference(parseReference(name)) === wanted
  const found =
    wanted === undefined
      ? saved.length === 1
        ? saved[0]
        : undefined
      : saved.find((image) => image.RepoTags?.some(isWanted))
  if (found !== undefined) return found
  const names = saved.flatMap((image) => image.RepoTags ?? []).join(', ')
  throw new BuildError('IMAGE_NOT_FOUND', `Which of its ${saved.length} images is meant is not said: \`${path}\``, {
    hint: names === '' ? undefined : `It holds ${names}. Name one: docker-archive:${path}:NAME:TAG.`,
  })
}

async function openArchive(path: string): Promise<TarFiles> {
  try {
    return await openTar(path)
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === undefined || error instanceof BuildError) throw error
    throw new BuildError(
      code === 'ENOENT' ? 'IMAGE_NOT_FOUND' : 'FILE_UNREADABLE',
      `Cannot read the archive \`${path}\``,
      {
        cause: error,
      },
    )
  }
}

function missing(path: string, name: string): never {
  throw new BuildError('ARCHIVE_INVALID', `The archive lacks \`${name}\`: \`${path}\``, {
    hint: name === 'index.json' ? 'It may be a docker-archive: use that transport.' : undefined,
  })
}
