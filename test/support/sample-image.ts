import { gzipSync } from 'node:zlib'
import type { Layer } from '../../layers/layer.ts'
import { encodeTarHeader, TAR_END, tarPadding } from '../../layers/tar-header.ts'
import { openBytes } from '../../src/core/bytes.ts'
import { digestOf } from '../../src/core/digest.ts'
import { makeImage, makeIndex, type ImageFormat } from '../../src/image/make-image.ts'
import type { Image, ImageIndex } from '../../src/image/image.ts'
import { OCI } from 'oci-spec-types'

/** A layer with one file, whose content cannot be compressed below `sizeBytes`. */
export function sampleLayer(name: string, sizeBytes = 100): Layer {
  const content = noise(name, sizeBytes)
  const header = encodeTarHeader({ type: 'file', path: name, mode: 0o644, mtimeSeconds: 0, sizeBytes })
  const tar = Buffer.concat([header, content, Buffer.alloc(tarPadding(sizeBytes)), TAR_END])
  const blob = gzipSync(tar)
  return {
    descriptor: { mediaType: OCI.layerGzip, digest: digestOf(blob), size: blob.length },
    diffId: digestOf(tar),
    open: openBytes(blob),
    createdBy: `sample ${name}`,
  }
}

/** Options of {@link sampleImage}. */
export interface SampleOptions {
  readonly layers?: readonly Layer[]
  readonly architecture?: string
  readonly format?: ImageFormat
  readonly label?: string
}

/** A small whole image; equal options give equal bytes. */
export function sampleImage(options: SampleOptions = {}): Image {
  const {
    layers = [sampleLayer('a.txt'), sampleLayer('b.txt', 5000)],
    architecture = 'amd64',
    format = 'oci',
  } = options
  return makeImage({
    platform: { os: 'linux', architecture },
    layers,
    runtime: { Cmd: ['/bin/true'], Labels: { sample: options.label ?? 'yes' } },
    baseLayerCount: 0,
    annotations: {},
    created: '1970-01-01T00:00:00Z',
    format,
  })
}

/** The sample for two platforms, with one layer in common. */
export function sampleIndex(format: ImageFormat = 'oci'): ImageIndex {
  const shared = sampleLayer('shared.txt')
  const images = ['amd64', 'arm64'].map((architecture) => ({
    platform: { os: 'linux', architecture },
    image: sampleImage({ architecture, format, layers: [shared, sampleLayer(`${architecture}.txt`)] }),
  }))
  return makeIndex(images, {}, format)
}

/** Bytes without a pattern, the same for the same seed. */
export function noise(seed: string, sizeBytes: number): Buffer {
  let state = 2166136261
  for (const char of seed) state = Math.imul(state ^ char.charCodeAt(0), 16777619)
  const bytes = Buffer.alloc(sizeBytes)
  for (let i = 0; i < sizeBytes; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[i] = state & 255
  }
  return bytes
}
