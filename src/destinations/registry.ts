import { isIndexMediaType, type Descriptor, type Digest, type Manifest } from 'oci-spec-types'
import { RegistryError } from '../../registry/errors.ts'
import type { RegistryClient } from '../../registry/client.ts'
import type { RawManifest } from '../../registry/manifest.ts'
import { formatFamiliar, referenceTag, type Reference } from '../../registry/reference.ts'
import type { Registries } from '../../registry/registries.ts'
import type { Cache } from '../core/cache.ts'
import { BuildError, isBuildError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { settleAll } from '../core/settle.ts'
import { homesOf, isForeign, type BlobHome, type Content } from './content.ts'
import type { Destination } from './destination.ts'
import { parseIndex, parseManifest } from './source.ts'

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
  /** What the tag named when that was asked first. */
  let tagged: ReturnType<RegistryClient['headManifest']> | undefined
  /** The blobs that the tag's manifest names: a registry keeps them, so nobody needs to be asked for each. */
  let present: { readonly below: Digest; readonly names: Promise<ReadonlySet<string>> } | undefined
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
  /** Blobs that were asked for by name, and are there. */
  const seen = new Set<string>()
  const presentBelow = (digest: Digest): Promise<ReadonlySet<string>> => {
    if (present?.below !== digest) present = { below: digest, names: namedBy(digest, use(), options.contents) }
    return present.names
  }
  /** Also before it is known what the image will be. What is wrong with the tag is told where it is moved. */
  const presentNow = async (): Promise<ReadonlySet<string>> => {
    if (tag === undefined) return present?.names ?? new Set()
    tagged ??= use().headManifest(tag)
    const found = await tagged.catch(() => undefined)
    return found === undefined ? new Set() : presentBelow(found.digest)
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
      const before = tagged
      tagged ??= asked.headManifest(tag ?? digest)
      const earlier = await before?.catch(() => undefined)
      if (before !== undefined && (earlier === undefined || earlier.digest === digest))
        tagged = asked.headManifest(tag ?? digest)
      const found = await tagged
      if (found === undefined || found.digest === digest) return found !== undefined
      await presentBelow(found.digest)
      return false
    },
    async putBlob({ descriptor, open, home }, { onBytes, isRepair } = {}) {
      // Its owner may not allow it to be handed on; who pulls the image fetches it from there.
      if (isForeign(descriptor)) return 'exists'
      if (isRepair !== true && (seen.has(descriptor.digest) || (await presentNow()).has(descriptor.digest)))
        return 'exists'
      if (isRepair === true) return use().ensureBlob({ descriptor, open }, { onBytes })
      const from = home?.registry === registry ? home.repository : undefined
      return use().pushBlob({ descriptor, open }, { from, onBytes })
    },
    async hasBlob(digest) {
      if (!seen.has(digest) && !(await presentNow()).has(digest) && (await use().headBlob(digest)) !== undefined)
        seen.add(digest)
      return seen.has(digest) || (await presentNow()).has(digest)
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

/** The blobs that a manifest which is there names, with those of its children: as remembered, else as it says when it is read. */
async function namedBy(
  digest: Digest,
  client: RegistryClient,
  contents: Cache | undefined,
): Promise<ReadonlySet<string>> {
  const remembered = parseNames(await contents?.get(digest))
  if (remembered !== undefined) return new Set(remembered)
  try {
    return new Set(await readNames(digest, client))
  } catch (error) {
    // It may be of a kind that only others know, or not for everybody who may write: then each blob is asked for.
    if (isBuildError(error)) return new Set()
    throw error
  }
}

function parseNames(bytes: Buffer | undefined): readonly string[] | undefined {
  if (bytes === undefined) return undefined
  try {
    const list: unknown = JSON.parse(bytes.toString('utf8'))
    return Array.isArray(list) ? list.filter((item) => typeof item === 'string') : undefined
  } catch {
    // Damaged: as good as none.
    return undefined
  }
}

/** An index of more is not read through: that would take as many requests as it spares. */
const MOST_CHILDREN = 6

async function readNames(digest: Digest, client: RegistryClient): Promise<readonly string[]> {
  const raw = await client.getManifest(digest)
  if (!isIndexMediaType(raw.descriptor.mediaType)) return namesOf(await parseManifest(raw, client.repository))
  const { manifests } = await parseIndex(raw, client.repository)
  if (manifests.length > MOST_CHILDREN) return []
  const images = manifests.filter(({ mediaType }) => !isIndexMediaType(mediaType))
  const children = await settleAll(images.map(async (child) => readNames(child.digest, client)))
  return children.flat()
}

function namesOf({ config, layers }: Manifest): readonly Digest[] {
  return [config, ...layers].filter((descriptor) => !isForeign(descriptor)).map((descriptor) => descriptor.digest)
}

async function rememberNamed(content: Content, contents: Cache | undefined): Promise<void> {
  const named = [...blobsBelow(content)].filter((descriptor) => !isForeign(descriptor)).map(({ digest }) => digest)
  await contents?.set(content.manifest.descriptor.digest, Buffer.from(JSON.stringify(named)))
}

function* blobsBelow({ blobs, children }: Content): Generator<Descriptor> {
  for (const { descriptor } of blobs) yield descriptor
  for (const child of children) yield* blobsBelow(child)
}
