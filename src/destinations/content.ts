import { isForeignLayer, type Descriptor } from 'oci-spec-types'
import type { RawManifest } from '../../registry/manifest.ts'
import { openBytes, type Open } from '../core/bytes.ts'
import { BuildError } from '../core/errors.ts'
import { isImageIndex, type Image, type ImageIndex } from '../image/image.ts'

/** A repository that holds a blob. */
export interface BlobHome {
  readonly registry: string
  readonly repository: string
}

/** A blob that can be carried somewhere. */
export interface Blob {
  readonly descriptor: Descriptor
  /** Not verified: who stores it verifies. */
  readonly open: Open
  readonly home?: BlobHome | undefined
  /** What it is, in a few words, for progress. */
  readonly name?: string | undefined
}

/** A manifest and everything it names, ready to be carried. Each blob once. */
export interface Content {
  readonly manifest: RawManifest
  /** The configuration first, then the layers, lowest first. Empty for an index. */
  readonly blobs: readonly Blob[]
  /** The manifests of an index, in its order. */
  readonly children: readonly Content[]
}

/** What an image or index in hand is made of. */
export function contentOf(image: Image | ImageIndex): Content {
  if (isImageIndex(image)) {
    const { descriptor, bytes, images } = image
    return { manifest: { descriptor, bytes }, blobs: [], children: images.map((member) => contentOf(member.image)) }
  }
  const { descriptor, manifestBytes, manifest, configBytes, layers } = image
  const config = { descriptor: manifest.config, open: openBytes(configBytes), name: 'configuration' }
  const blobs = layers.map((layer) => ({
    descriptor: layer.descriptor,
    open: layer.open,
    home: layer.source,
    name: layer.createdBy === '' ? undefined : layer.createdBy,
  }))
  return { manifest: { descriptor, bytes: manifestBytes }, blobs: uniqueBlobs([config, ...blobs]), children: [] }
}

/** All repositories that blobs of a content lie in. */
export function homesOf(content: Content): readonly BlobHome[] {
  const own = content.blobs.flatMap(({ home }) => (home === undefined ? [] : [home]))
  return [...own, ...content.children.flatMap(homesOf)]
}

/** A layer that lies somewhere else than in repositories: its descriptor says where. */
export function isForeign(descriptor: Descriptor): boolean {
  return isForeignLayer(descriptor.mediaType) && (descriptor.urls?.length ?? 0) > 0
}

/** Each digest once, in the order of first sight: an image may have the same layer twice. */
export function uniqueBlobs(blobs: readonly Blob[]): readonly Blob[] {
  const seen = new Set<string>()
  return blobs.filter(({ descriptor }) => !seen.has(descriptor.digest) && seen.add(descriptor.digest))
}

/** A manifest as a blob, for destinations that keep both alike. */
export function manifestBlob({ descriptor, bytes }: RawManifest): Blob {
  return { descriptor, open: openBytes(bytes) }
}

/** @throws BuildError NOT_SUPPORTED when a content is an index of several images, which not every place can hold */
export function assertSingle(content: Content, name: string): void {
  if (content.children.length === 0) return
  throw new BuildError('NOT_SUPPORTED', `Holds one image, not an index of several: \`${name}\``, {
    hint: 'Choose one with --platform, or write to oci:, oci-archive: or a registry.',
  })
}
