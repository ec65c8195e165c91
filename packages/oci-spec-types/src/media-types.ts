/** Media types of the OCI image specification (media-types.md). */
export const OCI = {
  descriptor: 'application/vnd.oci.descriptor.v1+json',
  layoutHeader: 'application/vnd.oci.layout.header.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  layerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  nondistributableLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  nondistributableLayerGzip: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  nondistributableLayerZstd: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  empty: 'application/vnd.oci.empty.v1+json',
} as const

/** Media types of Docker's image manifest version 2, schema 2 (and the refused schema 1). */
export const DOCKER = {
  manifestV1: 'application/vnd.docker.distribution.manifest.v1+json',
  manifestV1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  manifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  foreignLayerGzip: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
} as const

/** True for an OCI index and a Docker manifest list. */
export function isIndexMediaType(mediaType: string): boolean {
  return mediaType === OCI.index || mediaType === DOCKER.manifestList
}

/** True for an OCI image manifest and a Docker schema 2 manifest. */
export function isManifestMediaType(mediaType: string): boolean {
  return mediaType === OCI.manifest || mediaType === DOCKER.manifest
}

/** How the bytes of a layer are compressed, by its media type; undefined when it is not a layer. */
export function layerCompression(mediaType: string): 'none' | 'gzip' | 'zstd' | undefined {
  if (mediaType === OCI.layer || mediaType === OCI.nondistributableLayer) return 'none'
  if (mediaType === OCI.layerZstd || mediaType === OCI.nondistributableLayerZstd) return 'zstd'
  if (mediaType === OCI.layerGzip || mediaType === OCI.nondistributableLayerGzip) return 'gzip'
  if (mediaType === DOCKER.layerGzip || mediaType === DOCKER.foreignLayerGzip) return 'gzip'
  return undefined
}

/** True for layers whose bytes a registry may refuse to hold (their descriptor has `urls`). */
export function isForeignLayer(mediaType: string): boolean {
  return mediaType.includes('.nondistributable.') || mediaType === DOCKER.foreignLayerGzip
}
