import type { Descriptor, ImageConfig, Index, Manifest, Platform } from 'oci-spec-types'
import type { Layer } from '../../layers/layer.ts'

/** One image for one platform: a value. To change it is to make a new one. */
export interface Image {
  /** Of the manifest: media type, digest, size. */
  readonly descriptor: Descriptor
  readonly manifest: Manifest
  /** The manifest's exact bytes; `descriptor` names these. */
  readonly manifestBytes: Buffer
  readonly config: ImageConfig
  /** The configuration's exact bytes; `manifest.config` names these. */
  readonly configBytes: Buffer
  /** Lowest first, one for each of `manifest.layers`. */
  readonly layers: readonly Layer[]
}

/** The same image for several platforms. */
export interface ImageIndex {
  /** Of the index. */
  readonly descriptor: Descriptor
  readonly index: Index
  /** The index's exact bytes. */
  readonly bytes: Buffer
  /** In the order of `index.manifests`. */
  readonly images: readonly PlatformImage[]
}

/** One member of an {@link ImageIndex}. */
export interface PlatformImage {
  readonly platform: Platform
  readonly image: Image
}

/** Tells an index from a single image. */
export function isImageIndex(image: Image | ImageIndex): image is ImageIndex {
  return 'index' in image
}
