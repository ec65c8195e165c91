import { digestHex, OCI, type Descriptor } from 'oci-spec-types'
import type { Entry } from '../../layers/entry.ts'
import { writeTar } from '../../layers/files.ts'
import { openBytes, type Open } from '../core/bytes.ts'
import { verify } from '../core/digest.ts'
import type { RunnableImage } from './image.ts'
import { runName } from './run-name.ts'

/**
 * An archive that every engine loads: an OCI layout whose `manifest.json` says the same in docker's older words, as
 * `docker save` itself writes it. Layers stay compressed; each is verified on the way.
 */
export async function* openImageArchive(image: RunnableImage): AsyncGenerator<Uint8Array> {
  const { manifest, descriptor } = image
  const blobs: { readonly descriptor: Descriptor; readonly open: Open }[] = [
    { descriptor: manifest.config, open: openBytes(image.configBytes) },
    ...image.layers.map((layer) => ({ descriptor: layer.descriptor, open: layer.open })),
    { descriptor, open: openBytes(image.manifestBytes) },
  ]
  const documents = {
    'oci-layout': { imageLayoutVersion: '1.0.0' },
    'index.json': {
      schemaVersion: 2,
      mediaType: OCI.index,
      manifests: [
        {
          ...descriptor,
          annotations: {
            'org.opencontainers.image.ref.name': runName(image),
            'io.containerd.image.name': runName(image),
          },
        },
      ],
    },
    'manifest.json': [
      {
        Config: blobPath(manifest.config),
        RepoTags: [runName(image)],
        Layers: image.layers.map((layer) => blobPath(layer.descriptor)),
      },
    ],
  }
  yield* writeTar(entries())

  async function* entries(): AsyncGenerator<Entry> {
    const seen = new Set<string>()
    for (const { descriptor, open } of blobs) {
      if (seen.has(descriptor.digest)) continue
      seen.add(descriptor.digest)
      const verified: Open = (options) => verify(open(options), descriptor, `the blob ${descriptor.digest}`)
      yield { kind: 'file', path: blobPath(descriptor), mode: 0o644, sizeBytes: descriptor.size, open: verified }
    }
    for (const [path, document] of Object.entries(documents)) {
      const bytes = Buffer.from(JSON.stringify(document))
      yield { kind: 'file', path, mode: 0o644, sizeBytes: bytes.length, open: openBytes(bytes) }
    }
  }
}

function blobPath(descriptor: Descriptor): string {
  return `blobs/sha256/${digestHex(descriptor.digest)}`
}
