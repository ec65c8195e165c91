import { pack } from 'tar-stream'
import { digestHex, OCI, type Descriptor } from 'oci-spec-types'
import type { Open } from '../core/bytes.ts'
import { openBytes } from '../core/bytes.ts'
import { verify } from '../core/digest.ts'
import type { RunnableImage } from './image.ts'

/** The name under which an engine keeps an image that was handed over for running. */
export function runName(image: RunnableImage): string {
  return `localhost/layerwright-run:${digestHex(image.manifest.config.digest).slice(0, 24)}`
}

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
  const archive = pack()
  const written = write().catch((error: unknown) =>
    archive.destroy(error instanceof Error ? error : new Error(String(error))),
  )
  yield* archive as AsyncIterable<Uint8Array>
  await written

  async function write(): Promise<void> {
    const seen = new Set<string>()
    for (const { descriptor, open } of blobs) {
      if (seen.has(descriptor.digest)) continue
      seen.add(descriptor.digest)
      const entry = archive.entry({ name: blobPath(descriptor), size: descriptor.size, mode: 0o644 })
      for await (const chunk of verify(open(), descriptor, `the blob ${descriptor.digest}`)) {
        if (!entry.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))) {
          await new Promise((resolve) => entry.once('drain', () => resolve(undefined)))
        }
      }
      const closed = new Promise((resolve) => entry.once('close', () => resolve(undefined)))
      entry.end(undefined)
      await closed
    }
    for (const [name, document] of Object.entries(documents)) {
      archive.entry({ name, mode: 0o644 }, Buffer.from(JSON.stringify(document)))
    }
    archive.finalize()
  }
}

function blobPath(descriptor: Descriptor): string {
  return `blobs/sha256/${digestHex(descriptor.digest)}`
}
