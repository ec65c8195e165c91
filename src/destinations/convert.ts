import {
  DOCKER,
  isIndexMediaType,
  layerCompression,
  OCI,
  type Descriptor,
  type Index,
  type Manifest,
} from 'oci-spec-types'
import { readManifest, type RawManifest } from '../../registry/manifest.ts'
import { BuildError } from '../core/errors.ts'
import { layerDescriptor, type ImageFormat } from '../image/make-image.ts'
import type { Content } from './content.ts'

/**
 * The same image in another family of media types; blobs stay as they are, manifests and their digests change.
 *
 * What Docker's schema 2 cannot say (annotations, artifact types, subjects) is left out.
 *
 * @throws BuildError NOT_SUPPORTED for layers that schema 2 has no type for (zstd), and for artifacts
 */
export function convertContent(content: Content, format: ImageFormat): Content {
  const { manifest } = content
  if (isInFormat(manifest, format)) return content
  if (isIndexMediaType(manifest.descriptor.mediaType)) {
    // What is no image (an attestation) has no place in a manifest list.
    const kept = content.children.filter((child) => format === 'oci' || isImage(child.manifest))
    const children = kept.map((child) => convertContent(child, format))
    return { manifest: convertIndex(manifest, kept, children, format), blobs: [], children }
  }
  const converted = convertManifest(manifest, format)
  const types = new Map(
    [converted.document.config, ...converted.document.layers].map(({ digest, mediaType }) => [digest, mediaType]),
  )
  const blobs = content.blobs.map((blob) => ({
    ...blob,
    descriptor: { ...blob.descriptor, mediaType: types.get(blob.descriptor.digest) ?? blob.descriptor.mediaType },
  }))
  return { manifest: converted.raw, blobs, children: [] }
}

function convertManifest(manifest: RawManifest, format: ImageFormat): { raw: RawManifest; document: Manifest } {
  const old = parse(manifest) as Manifest
  if (format === 'docker' && !isImage(manifest))
    throw new BuildError('NOT_SUPPORTED', `Docker's schema 2 has no place for artifacts: ${manifest.descriptor.digest}`)
  const layers = old.layers.map((layer) => convertLayer(layer, format))
  const mediaType = format === 'oci' ? OCI.manifest : DOCKER.manifest
  const { digest, size } = old.config
  const config = { mediaType: format === 'oci' ? OCI.config : DOCKER.config, digest, size }
  const kept = format === 'oci' && old.annotations !== undefined ? { annotations: old.annotations } : {}
  const document: Manifest = { schemaVersion: 2, mediaType, config, layers, ...kept }
  return { raw: rawOf(document, mediaType), document }
}

function convertIndex(
  manifest: RawManifest,
  kept: readonly Content[],
  children: readonly Content[],
  format: ImageFormat,
): RawManifest {
  const old = parse(manifest) as Index
  const mediaType = format === 'oci' ? OCI.index : DOCKER.manifestList
  const manifests = old.manifests.flatMap((entry): Descriptor[] => {
    const at = kept.findIndex((child) => child.manifest.descriptor.digest === entry.digest)
    const child = children[at]
    if (child === undefined) return []
    const { platform } = entry
    return [{ ...child.manifest.descriptor, ...(platform === undefined ? {} : { platform }) }]
  })
  const annotations = format === 'oci' && old.annotations !== undefined ? { annotations: old.annotations } : {}
  return rawOf({ schemaVersion: 2, mediaType, manifests, ...annotations }, mediaType)
}

function convertLayer(layer: Descriptor, format: ImageFormat): Descriptor {
  const converted = layerDescriptor(layer, format)
  const isPlain = layerCompression(layer.mediaType) === 'none'
  if (format === 'docker' && isPlain) return { ...converted, mediaType: 'application/vnd.docker.image.rootfs.diff.tar' }
  if (format === 'docker' && !converted.mediaType.startsWith('application/vnd.docker.'))
    throw new BuildError('NOT_SUPPORTED', `Docker's schema 2 has no type for a layer of type: ${layer.mediaType}`, {
      hint: 'Keep the OCI format, or build with gzip layers.',
    })
  return converted
}

function isInFormat({ descriptor }: RawManifest, format: ImageFormat): boolean {
  return descriptor.mediaType.startsWith('application/vnd.oci.') === (format === 'oci')
}

function isImage(manifest: RawManifest): boolean {
  const { config, manifests } = parse(manifest) as { config?: Descriptor; manifests?: unknown }
  return manifests !== undefined || config?.mediaType === OCI.config || config?.mediaType === DOCKER.config
}

function parse(manifest: RawManifest): unknown {
  return JSON.parse(manifest.bytes.toString('utf8'))
}

function rawOf(document: Manifest | Index, mediaType: string): RawManifest {
  return readManifest(Buffer.from(JSON.stringify(document)), mediaType, 'the converted image')
}
