import {
  DOCKER,
  OCI,
  type Annotations,
  type Descriptor,
  type History,
  type ImageConfig,
  type Platform,
} from 'oci-spec-types'
import { digestOf } from '../core/digest.ts'
import type { Layer } from '../../layers/layer.ts'
import type { Image, ImageIndex, PlatformImage } from './image.ts'

/** Which family of media types an image is written in. */
export type ImageFormat = 'oci' | 'docker'

/** What an image is made from. */
export interface ImageParts {
  readonly platform: Platform
  /** Lowest first, the base's layers included. */
  readonly layers: readonly Layer[]
  /** The execution parameters, complete: nothing is inherited here. */
  readonly runtime: NonNullable<ImageConfig['config']>
  /** History of the base's layers; lines for the other layers are added. */
  readonly baseHistory?: readonly History[] | undefined
  /** How many of `layers` belong to the base. */
  readonly baseLayerCount: number
  readonly annotations: Annotations
  /** RFC 3339 time for `created`. */
  readonly created: string
  readonly format: ImageFormat
}

/**
 * Makes the manifest and the configuration of an image.
 *
 * Pure: equal parts give equal bytes.
 *
 * @see OCI image-spec, manifest.md and config.md; Docker image manifest v2 schema 2
 */
export function makeImage(parts: ImageParts): Image {
  const config: ImageConfig = {
    created: parts.created,
    architecture: parts.platform.architecture,
    ...(parts.platform.variant === undefined ? {} : { variant: parts.platform.variant }),
    os: parts.platform.os,
    config: parts.runtime,
    rootfs: { type: 'layers', diff_ids: parts.layers.map((layer) => layer.diffId) },
    history: makeHistory(parts),
  }
  const configBytes = Buffer.from(JSON.stringify(config))
  const manifest = {
    schemaVersion: 2 as const,
    mediaType: parts.format === 'oci' ? OCI.manifest : DOCKER.manifest,
    config: {
      mediaType: parts.format === 'oci' ? OCI.config : DOCKER.config,
      digest: digestOf(configBytes),
      size: configBytes.length,
    },
    layers: parts.layers.map((layer) => layerDescriptor(layer.descriptor, parts.format)),
    // Docker's schema 2 has no annotations.
    ...(parts.format === 'oci' ? { annotations: parts.annotations } : {}),
  }
  const manifestBytes = Buffer.from(JSON.stringify(manifest))
  const descriptor = { mediaType: manifest.mediaType, digest: digestOf(manifestBytes), size: manifestBytes.length }
  return { descriptor, manifest, manifestBytes, config, configBytes, layers: parts.layers }
}

/** Makes an index of images for several platforms, in the given order. */
export function makeIndex(images: readonly PlatformImage[], annotations: Annotations, format: ImageFormat): ImageIndex {
  const mediaType = format === 'oci' ? OCI.index : DOCKER.manifestList
  const index = {
    schemaVersion: 2 as const,
    mediaType,
    manifests: images.map(({ platform, image }) => ({ ...image.descriptor, platform })),
    ...(format === 'oci' ? { annotations } : {}),
  }
  const bytes = Buffer.from(JSON.stringify(index))
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, index, bytes, images }
}

/** The descriptor of a layer in another family of media types; the blob stays the same. */
export function layerDescriptor(descriptor: Descriptor, format: ImageFormat): Descriptor {
  const { mediaType, digest, size, urls } = descriptor
  return {
    mediaType: LAYER_TYPES[format][mediaType] ?? mediaType,
    digest,
    size,
    ...(urls === undefined ? {} : { urls }),
  }
}

const LAYER_TYPES: Readonly<Record<ImageFormat, Readonly<Record<string, string>>>> = {
  oci: { [DOCKER.layerGzip]: OCI.layerGzip, [DOCKER.foreignLayerGzip]: OCI.nondistributableLayerGzip },
  docker: { [OCI.layerGzip]: DOCKER.layerGzip, [OCI.nondistributableLayerGzip]: DOCKER.foreignLayerGzip },
}

function makeHistory(parts: ImageParts): History[] {
  const { baseLayerCount, created } = parts
  const baseHistory = parts.baseHistory ?? []
  // A base without (or with wrong) history would shift the lines against the layers, which some tools refuse.
  const counted = baseHistory.filter((line) => line.empty_layer !== true).length
  const base =
    counted === baseLayerCount
      ? baseHistory
      : parts.layers.slice(0, baseLayerCount).map(() => ({ created_by: 'base layer' }))
  return [...base, ...parts.layers.slice(baseLayerCount).map((layer) => ({ created, created_by: layer.createdBy }))]
}
