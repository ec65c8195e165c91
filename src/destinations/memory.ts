import type { Digest } from 'oci-spec-types'
import { collect } from '../core/bytes.ts'
import { verify } from '../core/digest.ts'
import type { Destination } from './destination.ts'

/** What a {@link memoryDestination} holds. */
export interface MemoryImages {
  readonly blobs: Map<Digest, Buffer>
  /** Digest of the root manifest, by name. */
  readonly roots: Map<string, Digest>
}

/** An empty place. */
export function memoryImages(): MemoryImages {
  return { blobs: new Map(), roots: new Map() }
}

/** Keeps an image in memory, for tests and previews. */
export function memoryDestination(images: MemoryImages, name: string): Destination {
  return {
    name: `memory:${name}`,
    concurrency: 4,
    prepare: async () => {},
    begin: async (content) => images.roots.get(name) === content.manifest.descriptor.digest,
    async putBlob({ descriptor, open }) {
      if (images.blobs.has(descriptor.digest)) return 'exists'
      const bytes = await collect(verify(open(), descriptor, descriptor.digest), descriptor.size)
      images.blobs.set(descriptor.digest, bytes)
      return 'uploaded'
    },
    putManifest: async ({ descriptor, bytes }) => void images.blobs.set(descriptor.digest, bytes),
    async finish({ descriptor, bytes }) {
      images.blobs.set(descriptor.digest, bytes)
      images.roots.set(name, descriptor.digest)
    },
    abort: async () => {},
  }
}
