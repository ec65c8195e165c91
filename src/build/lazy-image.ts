import pLimit from 'p-limit'
import { OCI, type Annotations, type Descriptor, type Digest, type Platform } from 'oci-spec-types'
import type { Layer } from '../../layers/layer.ts'
import { makeCheckPool, type CheckPool } from '../../layers/workers/pool.ts'
import { indexLayer } from '../../layers/ztoc/index-layer.ts'
import { SPAN_BYTES } from '../../layers/ztoc/ztoc.ts'
import { readManifest } from '../../registry/manifest.ts'
import { openBytes } from '../core/bytes.ts'
import { digestOf } from '../core/digest.ts'
import { LIMITS } from '../core/limits.ts'
import { runTask, type Report } from '../core/progress.ts'
import { settleAll } from '../core/settle.ts'
import { uniqueBlobs, type Blob, type Content } from '../destinations/content.ts'
import { isImageIndex, type Image, type ImageIndex, type PlatformImage } from '../image/image.ts'
import type { Store } from '../store/store.ts'
import { isIndexable, ztocTables } from './ztoc-tables.ts'

/** What is needed to index an image for lazy pulling. */
export interface LazyContext {
  readonly store: Store
  readonly report: Report
  /** Digests of layers that are not to be read: the base's. */
  readonly passed: ReadonlySet<Digest>
  readonly signal?: AbortSignal | undefined
}

/** An image that lazy snapshotters can start before it is pulled. */
export interface LazyImage {
  readonly image: Image | ImageIndex
  /** What its index names beside the images. */
  readonly artifacts: readonly Content[]
}

const SOCI = 'application/vnd.amazon.soci.index.v2+json'
const EMPTY = Buffer.from('{}')

/**
 * Indexes an image for the SOCI snapshotter: layers stay as they are, each image gets a list of tables by which files
 * are found in them, and an annotation that names the list.
 *
 * An image without large layers is given back as it is.
 *
 * @see SOCI snapshotter, "SOCI index manifest v2"
 */
export async function makeLazyImage(root: Image | ImageIndex, context: LazyContext): Promise<LazyImage> {
  const members = isImageIndex(root) ? root.images : [{ platform: platformOf(root), image: root }]
  const indexed = await indexImages(members, context)
  const artifacts = indexed.flatMap(({ artifact }) => artifact ?? [])
  if (artifacts.length === 0) return { image: root, artifacts: [] }
  const images = indexed.map(({ member }) => member)
  const entries = images.map(({ image, platform }) => ({ ...image.descriptor, platform }))
  const index = {
    schemaVersion: 2 as const,
    mediaType: OCI.index,
    manifests: [...entries, ...indexed.flatMap(({ entry }) => entry ?? [])],
    ...(isImageIndex(root) && root.index.annotations !== undefined ? { annotations: root.index.annotations } : {}),
  }
  const bytes = Buffer.from(JSON.stringify(index))
  const descriptor = { mediaType: index.mediaType, digest: digestOf(bytes), size: bytes.length }
  return { image: { descriptor, index, bytes, images }, artifacts }
}

interface IndexedImage {
  readonly member: PlatformImage
  /** The list of tables, and how the image's index names it. */
  readonly artifact?: Content | undefined
  readonly entry?: Descriptor | undefined
}

async function indexImages(members: readonly PlatformImage[], context: LazyContext): Promise<readonly IndexedImage[]> {
  const checks = makeCheckPool()
  const limit = pLimit(LIMITS.threads)
  // Images for several platforms share layers.
  const tables = new Map<Digest, Promise<Blob>>()
  const tableOf = (layer: Layer): Promise<Blob> => {
    const { digest } = layer.descriptor
    const table = tables.get(digest) ?? limit(() => findTable(layer, context, checks))
    tables.set(digest, table)
    return table
  }
  try {
    return await settleAll(members.map((member) => indexImage(member, context, tableOf)))
  } finally {
    await checks?.close()
  }
}

async function indexImage(
  member: PlatformImage,
  { passed }: LazyContext,
  tableOf: (layer: Layer) => Promise<Blob>,
): Promise<IndexedImage> {
  const { image, platform } = member
  const layers = image.layers.filter(({ descriptor }) => isIndexable(descriptor) && !passed.has(descriptor.digest))
  const tables = await settleAll(layers.map(tableOf))
  if (tables.length === 0) return { member }
  const config = { mediaType: SOCI, digest: digestOf(EMPTY), size: EMPTY.length }
  const list = {
    schemaVersion: 2,
    mediaType: OCI.manifest,
    artifactType: SOCI,
    config,
    layers: tables.map(({ descriptor }) => descriptor),
    annotations: { 'com.amazon.soci.build-tool-identifier': 'layerwright' },
  }
  const manifest = readManifest(Buffer.from(JSON.stringify(list)), OCI.manifest, 'the index for lazy pulling')
  const annotated = annotate(image, { 'com.amazon.soci.index-digest': manifest.descriptor.digest })
  const entry = {
    ...manifest.descriptor,
    artifactType: SOCI,
    annotations: { 'com.amazon.soci.image-manifest-digest': annotated.descriptor.digest },
    platform,
  }
  const blobs = uniqueBlobs([{ descriptor: config, open: openBytes(EMPTY) }, ...tables])
  return { member: { platform, image: annotated }, artifact: { manifest, blobs, children: [] }, entry }
}

/** The table of a layer: from the store, where making the layer has left it, or made now. */
async function findTable(
  layer: Layer,
  { store, report, signal }: LazyContext,
  checks: CheckPool | undefined,
): Promise<Blob> {
  const { mediaType, digest: layerDigest } = layer.descriptor
  const tables = ztocTables(store)
  const found =
    (await tables.find(layerDigest)) ??
    (await runTask(report, `index ${layer.createdBy}`, async () =>
      tables.keep(layerDigest, await indexLayer(layer, { signal, checks, spillFolder: store.temporaryFolder })),
    ))
  const annotations: Annotations = {
    'com.amazon.soci.image-layer-mediaType': mediaType,
    'com.amazon.soci.image-layer-digest': layerDigest,
    'com.amazon.soci.span-size': String(SPAN_BYTES),
  }
  const descriptor = { mediaType: 'application/octet-stream', ...found, annotations }
  return { descriptor, open: store.blob(found) }
}

function annotate(image: Image, added: Annotations): Image {
  const manifest = { ...image.manifest, annotations: { ...image.manifest.annotations, ...added } }
  const manifestBytes = Buffer.from(JSON.stringify(manifest))
  const { mediaType } = image.descriptor
  const descriptor = { mediaType, digest: digestOf(manifestBytes), size: manifestBytes.length }
  return { ...image, descriptor, manifest, manifestBytes }
}

function platformOf({ config }: Image): Platform {
  const { os, architecture, variant } = config
  return { os, architecture, ...(variant === undefined ? {} : { variant }) }
}
