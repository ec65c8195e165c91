import { RegistryError } from '../../registry/errors.ts'
import type { RegistryClient } from '../../registry/client.ts'
import { UPLOADS_AT_A_TIME } from '../../registry/connection.ts'
import type { RawManifest } from '../../registry/manifest.ts'
import { formatFamiliar, referenceTag, type Reference } from '../../registry/reference.ts'
import type { Registries } from '../../registry/registries.ts'
import { BuildError } from '../core/errors.ts'
import { homesOf, isForeign, type BlobHome } from './content.ts'
import type { Destination } from './destination.ts'

/**
 * A tag (or digest) of a repository.
 *
 * @throws BuildError REFERENCE_INVALID when tag and digest are given and the content has another digest
 */
export function registryDestination(reference: Reference, registries: Registries): Destination {
  const { registry, repository } = reference
  const tag = referenceTag(reference)
  let client: RegistryClient | undefined
  const use = (): RegistryClient => {
    client ??= registries.client({ registry, repository }, { actions: 'push' })
    return client
  }
  const name = formatFamiliar(reference)
  /** One token for all that will be done: a client is made anew only for repositories that were not announced. */
  let announced: ReadonlySet<string> | undefined
  const announce = (homes: readonly BlobHome[]): RegistryClient => {
    const mountFrom = homes.flatMap((home) => (home.registry === registry ? [home.repository] : []))
    if (client !== undefined && mountFrom.every((from) => announced?.has(from))) return client
    announced = new Set([...(announced ?? []), ...mountFrom])
    client = registries.client({ registry, repository }, { actions: 'push', mountFrom: [...announced] })
    return client
  }
  return {
    name,
    concurrency: UPLOADS_AT_A_TIME,
    prepare: async (homes) => void announce(homes),
    async begin(content) {
      const { digest } = content.manifest.descriptor
      if (reference.digest !== undefined && reference.digest !== digest)
        throw new BuildError(
          'REFERENCE_INVALID',
          `The image has the digest ${digest}, so it cannot be pushed as: \`${name}\``,
        )
      return (await announce(homesOf(content)).headManifest(tag ?? digest))?.digest === digest
    },
    async putBlob({ descriptor, open, home }, { onBytes, isRepair } = {}) {
      // Its owner may not allow it to be handed on; who pulls the image fetches it from there.
      if (isForeign(descriptor)) return 'exists'
      if (isRepair === true) return use().ensureBlob({ descriptor, open }, { onBytes })
      const from = home?.registry === registry ? home.repository : undefined
      return use().pushBlob({ descriptor, open }, { from, onBytes })
    },
    putStream: (stream, { onBytes, signal } = {}) => use().pushStream(stream, { onBytes, signal }),
    putManifest: (manifest) => use().putManifest(manifest.descriptor.digest, manifest),
    finish: (root) => use().putManifest(tag ?? root.descriptor.digest, root),
    // An unfinished upload is the registry's to sweep; no tag was moved.
    abort: async () => {},
    has: async ({ descriptor }: RawManifest) =>
      (await use().headManifest(descriptor.digest))?.digest === descriptor.digest,
    lacksBlobs: (error) =>
      error instanceof RegistryError &&
      error.wireCodes.some((code) => code === 'MANIFEST_BLOB_UNKNOWN' || code === 'BLOB_UNKNOWN'),
  }
}
