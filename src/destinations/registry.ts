import type { Descriptor, Digest } from 'oci-spec-types'
import { RegistryError } from '../../registry/errors.ts'
import type { RegistryClient } from '../../registry/client.ts'
import type { RawManifest } from '../../registry/manifest.ts'
import { formatFamiliar, referenceTag, type Reference } from '../../registry/reference.ts'
import type { Registries } from '../../registry/registries.ts'
import type { Cache } from '../core/cache.ts'
import { BuildError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { homesOf, isForeign, type BlobHome, type Content } from './content.ts'
import type { Destination } from './destination.ts'

/** How a repository is written to. */
export interface RegistryDestinationOptions {
  /** What manifests that were pushed before name, by their digest. Losing it costs requests. */
  readonly contents?: Cache | undefined
}

/**
 * A tag (or digest) of a repository.
 *
 * @throws BuildError REFERENCE_INVALID when tag and digest are given and the content has another digest
 */
export function registryDestination(
  reference: Reference,
  registries: Registries,
  options: RegistryDestinationOptions = {},
): Destination {
  const { registry, repository } = reference
  const tag = referenceTag(reference)
  let client: RegistryClient | undefined
  let begun: Content | undefined
  let present: ReadonlySet<string> = new Set()
  /** What the tag named when that was asked first. */
  let tagged: ReturnType<RegistryClient['headManifest']> | undefined
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
    concurrency: LIMITS.uploads,
    prepare: async (homes) => void announce(homes),
    async begin(content) {
      begun = content
      const { digest } = content.manifest.descriptor
      if (reference.digest !== undefined && reference.digest !== digest)
        throw new BuildError(
          'REFERENCE_INVALID',
          `The image has the digest ${digest}, so it cannot be pushed as: \`${name}\``,
        )
      const asked = announce(homesOf(content))
      // What was seen a while ago need not hold for a tag that has the image already: others move it. A failure is asked for anew.
      const seen = await tagged?.catch(() => undefined)
      const found = seen === undefined || seen.digest === digest ? await asked.headManifest(tag ?? digest) : seen
      if (found === undefined || found.digest === digest) return found !== undefined
      // A registry keeps what its manifests name: nobody needs to be asked for the blobs of one that is there now.
      present = await namedBy(found.digest, options.contents)
      return false
    },
    async putBlob({ descriptor, open, home }, { onBytes, isRepair } = {}) {
      // Its owner may not allow it to be handed on; who pulls the image fetches it from there.
      if (isForeign(descriptor)) return 'exists'
      if (isRepair !== true && present.has(descriptor.digest)) return 'exists'
      if (isRepair === true) return use().ensureBlob({ descriptor, open }, { onBytes })
      const from = home?.registry === registry ? home.repository : undefined
      return use().pushBlob({ descriptor, open }, { from, onBytes })
    },
    putStream: (stream, { onBytes, signal } = {}) => use().pushStream(stream, { onBytes, signal }),
    async isNew() {
      if (tag === undefined) return use().isNew()
      // A tag that is there answers as well, and `begin` would ask for it.
      tagged ??= use().headManifest(tag)
      return (await tagged) === undefined && use().isNew()
    },
    putManifest: (manifest) => use().putManifest(manifest.descriptor.digest, manifest),
    async finish(root) {
      await use().putManifest(tag ?? root.descriptor.digest, root)
      if (begun !== undefined) await rememberNamed(begun, options.contents)
    },
    // An unfinished upload is the registry's to sweep; no tag was moved.
    abort: async () => {},
    has: async ({ descriptor }: RawManifest) =>
      (await use().headManifest(descriptor.digest))?.digest === descriptor.digest,
    sawDamage: (error) =>
      error instanceof RegistryError &&
      error.wireCodes.some((code) => code === 'DIGEST_INVALID' || code === 'SIZE_INVALID'),
    lacksBlobs: (error) =>
      error instanceof RegistryError &&
      error.wireCodes.some((code) => code === 'MANIFEST_BLOB_UNKNOWN' || code === 'BLOB_UNKNOWN'),
  }
}

async function namedBy(digest: Digest, contents: Cache | undefined): Promise<ReadonlySet<string>> {
  const bytes = await contents?.get(digest)
  if (bytes === undefined) return new Set()
  try {
    const list: unknown = JSON.parse(bytes.toString('utf8'))
    return new Set(Array.isArray(list) ? list.filter((item) => typeof item === 'string') : [])
  } catch {
    // Damaged: as good as none.
    return new Set()
  }
}

async function rememberNamed(content: Content, contents: Cache | undefined): Promise<void> {
  const named = [...blobsBelow(content)].filter((descriptor) => !isForeign(descriptor)).map(({ digest }) => digest)
  await contents?.set(content.manifest.descriptor.digest, Buffer.from(JSON.stringify(named)))
}

function* blobsBelow({ blobs, children }: Content): Generator<Descriptor> {
  for (const { descriptor } of blobs) yield descriptor
  for (const child of children) yield* blobsBelow(child)
}
