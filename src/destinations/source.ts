import { isIndexMediaType, type Descriptor, type Digest, type Index, type Manifest } from 'oci-spec-types'
import type { RawManifest } from '../../registry/manifest.ts'
import { collect, openBytes, type Open } from '../core/bytes.ts'
import { verify } from '../core/digest.ts'
import { BuildError } from '../core/errors.ts'
import { isDeeperThan } from '../core/json.ts'
import type { Image, ImageIndex } from '../image/image.ts'
import { isForeign, uniqueBlobs, type BlobHome, type Content } from './content.ts'
import { choosePlatform, formatPlatform, hostPlatform, type PlatformQuery } from './platform.ts'

/** A place that an image is read from. Nothing is read before it is asked for. */
export interface Source {
  /** As a user would write it, for messages. */
  readonly name: string
  /** The manifest or index that the location names. */
  root(): Promise<RawManifest>
  /** A manifest that an index names, verified. */
  manifest(descriptor: Descriptor): Promise<RawManifest>
  /** A blob that a manifest names; not verified. */
  blob(descriptor: Descriptor): Open
  /** The repository that holds the blobs, when it is a registry. */
  readonly home: BlobHome | undefined
  /** Manifests that are about another one (signatures, lists of components), where a place can tell. */
  attachments?(subject: Digest): Promise<readonly Descriptor[]>
}

/** Which part of an index is wanted. */
export interface ReadOptions {
  /** Of an index: this member; this machine's unless given. An image is taken as it is. */
  readonly platform?: PlatformQuery | undefined
}

const CONFIG_LIMIT = 8 << 20
/** Deeper nesting of indexes is nobody's image. */
const MAX_DEPTH = 4

/** The whole of what a source names, or of an index one image. Reads manifests only; blobs when they are opened. */
export async function readContent(
  source: Source,
  options: ReadOptions & { readonly all?: boolean } = {},
): Promise<Content> {
  const root = await source.root()
  if (options.all === true) return readTree(source, root, 0)
  return readTree(source, await descend(source, root, options.platform, 0), 0)
}

/**
 * One image: its manifest and configuration are read and checked, its layers when they are opened.
 *
 * @throws BuildError PLATFORM_NOT_FOUND, IMAGE_INVALID, DIGEST_MISMATCH
 */
export async function readImage(source: Source, options: ReadOptions = {}): Promise<Image> {
  return imageOf(source, await descend(source, await source.root(), options.platform, 0))
}

/** All images of an index; an image alone is an answer, too. Members that are no images (attestations, lists for lazy pulling) are left out. */
export async function readImageOrIndex(source: Source): Promise<Image | ImageIndex> {
  const root = await source.root()
  if (!isIndexMediaType(root.descriptor.mediaType)) return imageOf(source, root)
  const index = await parseIndex(root, source.name)
  const images: ImageIndex['images'][number][] = []
  for (const entry of index.manifests) {
    if (entry.platform === undefined || entry.platform.os === 'unknown' || entry.artifactType !== undefined) continue
    if (isIndexMediaType(entry.mediaType)) continue
    images.push({ platform: entry.platform, image: await imageOf(source, await source.manifest(entry)) })
  }
  return { descriptor: root.descriptor, index, bytes: root.bytes, images }
}

/** @throws BuildError IMAGE_INVALID when the bytes are no image manifest */
export async function parseManifest(raw: RawManifest, name: string): Promise<Manifest> {
  const { manifestSchema } = await loadSchemas()
  const parsed = manifestSchema.safeParse(JSON.parse(raw.bytes.toString('utf8')))
  if (parsed.success) return parsed.data
  throw new BuildError('IMAGE_INVALID', `Not an image manifest: ${raw.descriptor.digest} of ${name}`, {
    cause: parsed.error,
  })
}

/** @throws BuildError IMAGE_INVALID when the bytes are no index */
export async function parseIndex(raw: RawManifest, name: string): Promise<Index> {
  const { indexSchema } = await loadSchemas()
  const parsed = indexSchema.safeParse(JSON.parse(raw.bytes.toString('utf8')))
  if (parsed.success) return parsed.data
  throw new BuildError('IMAGE_INVALID', `Not an image index: ${raw.descriptor.digest} of ${name}`, {
    cause: parsed.error,
  })
}

async function descend(
  source: Source,
  raw: RawManifest,
  platform: PlatformQuery | undefined,
  depth: number,
): Promise<RawManifest> {
  if (!isIndexMediaType(raw.descriptor.mediaType)) return raw
  if (depth === MAX_DEPTH) throw tooDeep(source)
  const { manifests } = await parseIndex(raw, source.name)
  const wanted = platform ?? hostPlatform()
  // An index of one image without a platform says that it does not matter.
  const [only, ...others] = manifests
  const entry =
    choosePlatform(manifests, wanted) ??
    (others.length === 0 && only !== undefined && only.platform === undefined ? only : undefined)
  if (entry === undefined) throw noPlatform(source, wanted, manifests)
  return descend(source, await source.manifest(entry), platform, depth + 1)
}

async function readTree(source: Source, raw: RawManifest, depth: number): Promise<Content> {
  if (depth === MAX_DEPTH) throw tooDeep(source)
  if (isIndexMediaType(raw.descriptor.mediaType)) {
    const children: Content[] = []
    for (const entry of (await parseIndex(raw, source.name)).manifests)
      children.push(await readTree(source, await source.manifest(entry), depth + 1))
    return { manifest: raw, blobs: [], children }
  }
  const { config, layers } = await parseManifest(raw, source.name)
  const blobs = [config, ...layers].map((descriptor) => ({
    descriptor,
    open: openOf(source, descriptor),
    home: isForeign(descriptor) ? undefined : source.home,
  }))
  return { manifest: raw, blobs: uniqueBlobs(blobs), children: [] }
}

async function imageOf(source: Source, raw: RawManifest): Promise<Image> {
  const manifest = await parseManifest(raw, source.name)
  const { config: configDescriptor } = manifest
  if (configDescriptor.size > CONFIG_LIMIT)
    throw new BuildError('IMAGE_INVALID', `The configuration is larger than ${CONFIG_LIMIT} bytes: ${source.name}`)
  const what = `the configuration of ${source.name}`
  const stream = verify(openOf(source, configDescriptor)(), configDescriptor, what)
  const configBytes = await collect(stream, CONFIG_LIMIT)
  const config = await parseConfig(configBytes, source.name)
  const diffIds = config.rootfs.diff_ids
  if (diffIds.length !== manifest.layers.length)
    throw new BuildError(
      'IMAGE_INVALID',
      `The manifest has ${manifest.layers.length} layers, the configuration ${diffIds.length}: ${source.name}`,
    )
  const lines = (config.history ?? []).filter((line) => line.empty_layer !== true)
  const layers = manifest.layers.map((descriptor, index) => ({
    descriptor,
    // Lengths are equal, as checked above.
    diffId: diffIds[index] ?? descriptor.digest,
    open: openOf(source, descriptor),
    ...(source.home === undefined || isForeign(descriptor) ? {} : { source: source.home }),
    createdBy: lines[index]?.created_by ?? `layer of ${source.name}`,
  }))
  return { descriptor: raw.descriptor, manifest, manifestBytes: raw.bytes, config, configBytes, layers }
}

/** Members that nobody knows are kept and written again; those of known tools end at the sixth level. */
const MAX_CONFIG_LEVELS = 100

async function parseConfig(bytes: Buffer, name: string): Promise<Image['config']> {
  const { imageConfigSchema } = await loadSchemas()
  let document: unknown
  try {
    document = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw new BuildError('IMAGE_INVALID', `The configuration is not JSON: ${name}`, { cause: error })
  }
  if (isDeeperThan(MAX_CONFIG_LEVELS, document))
    throw new BuildError(
      'IMAGE_INVALID',
      `The configuration is nested more than ${MAX_CONFIG_LEVELS} levels deep: ${name}`,
    )
  const parsed = imageConfigSchema.safeParse(document)
  if (parsed.success) return parsed.data
  throw new BuildError('IMAGE_INVALID', `Not an image configuration: ${name}`, {
    hint: 'The location may name an artifact (a chart, a model, a signature) instead of an image.',
    cause: parsed.error,
  })
}

/** A small blob may lie in its descriptor (image-spec descriptor.md, `data`); it is verified as any other. */
function openOf(source: Source, descriptor: Descriptor): Open {
  return descriptor.data === undefined ? source.blob(descriptor) : openBytes(Buffer.from(descriptor.data, 'base64'))
}

/** When a document is read: commands that read none start sooner. */
function loadSchemas(): Promise<typeof import('oci-spec-types/schemas')> {
  return import('oci-spec-types/schemas')
}

function tooDeep(source: Source): BuildError {
  return new BuildError('IMAGE_INVALID', `Indexes are nested more than ${MAX_DEPTH} deep: ${source.name}`)
}

function noPlatform(source: Source, wanted: PlatformQuery, manifests: readonly Descriptor[]): BuildError {
  const offered = manifests
    .flatMap(({ platform }) => (platform === undefined || platform.os === 'unknown' ? [] : [formatPlatform(platform)]))
    .join(', ')
  return new BuildError('PLATFORM_NOT_FOUND', `No image for ${formatPlatform(wanted)} in: ${source.name}`, {
    hint: offered === '' ? undefined : `There are images for ${offered}. Choose with --platform.`,
    data: { platform: formatPlatform(wanted), offered: offered.split(', ') },
  })
}
