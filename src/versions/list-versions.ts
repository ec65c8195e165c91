import { ANNOTATION, type Digest } from 'oci-spec-types'
import type { RegistryClient } from '../../registry/client.ts'
import type { Registries } from '../../registry/registries.ts'
import { isBuildError } from '../core/errors.ts'
import { LIMITS, makeLimiter } from '../core/limits.ts'
import { formatPlatform, openSource, readImageOrIndex } from '../destinations/index.ts'
import { isImageIndex, type Image, type ImageIndex } from '../image/image.ts'
import { readHistory } from './history.ts'
import { allTags } from './move-tag.ts'
import { formatSeconds, parseRecord, prefixOf, type Release } from './release.ts'

/** One image of a repository, or one index. */
export interface Version {
  readonly digest: Digest
  readonly mediaType: string
  /** Those that mean it now. */
  readonly tags: readonly string[]
  /** Its places on the way back of tags that were promoted. */
  readonly releases: readonly VersionRelease[]
  readonly platforms: readonly string[]
  /** As the image says; often not when it was made, so that equal inputs give equal images. */
  readonly created: string | undefined
  /** The commit that it was built from, as the image says. */
  readonly revision: string | undefined
  /** Of its layers as they are stored, each counted once. */
  readonly sizeBytes: number
}

/** A release as part of a version. */
export interface VersionRelease {
  readonly tag: string
  readonly number: number
  /** ISO 8601. */
  readonly at: string
  readonly isCurrent: boolean
}

/** What is kept beside images: layers of the shared cache, referrers, and what cosign attaches. */
export const BESIDE = /^(?:layer-[0-9a-f]{64}$|sha(?:256|512)-[0-9a-f]{64})/

/**
 * Lists the images of a repository: last released first, then those that never were, by their tags.
 *
 * Registries keep no time of a push; what is known is when tags were promoted. What is no image is left out.
 */
export async function listVersions(client: RegistryClient, registries: Registries): Promise<readonly Version[]> {
  const tags = await allTags(client)
  const names = tags.filter((tag) => !BESIDE.test(tag) && parseRecord(tag) === undefined)
  const limit = makeLimiter(LIMITS.downloads)
  const ask = async (tag: string): Promise<readonly [string, Digest | undefined]> => [
    tag,
    (await limit(() => client.headManifest(tag)))?.digest,
  ]
  const named = await Promise.all(names.map(ask))
  const records = tags.map(parseRecord).filter((record) => record !== undefined)
  const releases = [...new Set(records.map(({ tag }) => tag))].flatMap((tag) => readHistory(tag, tags).releases)
  const known = new Set(named.flatMap(([, digest]) => (digest === undefined ? [] : [prefixOf(digest)])))
  // What was rolled back from as well.
  const kept = new Map(records.filter(({ prefix }) => !known.has(prefix)).map(({ prefix, record }) => [prefix, record]))
  const untagged = await Promise.all([...kept.values()].map(ask))
  const digests = new Set([...named, ...untagged].flatMap(([, digest]) => digest ?? []))
  const found = await Promise.all([...digests].map((digest) => limit(() => read(client, registries, digest))))
  return found
    .filter((image) => image !== undefined)
    .map((image) => describe(image, named, releases))
    .toSorted(compareVersions)
}

async function read(
  { registry, repository }: RegistryClient,
  registries: Registries,
  digest: Digest,
): Promise<Image | ImageIndex | undefined> {
  const reference = { registry, repository, tag: undefined, digest }
  try {
    return await readImageOrIndex(await openSource({ kind: 'registry', reference }, { registries }))
  } catch (error) {
    // Charts, signatures and other artifacts have tags, too; or somebody deleted it meanwhile.
    if (isBuildError(error, 'IMAGE_INVALID') || isBuildError(error, 'NOT_SUPPORTED')) return undefined
    if (isBuildError(error, 'IMAGE_NOT_FOUND')) return undefined
    throw error
  }
}

function describe(
  image: Image | ImageIndex,
  named: readonly (readonly [string, Digest | undefined])[],
  releases: readonly Release[],
): Version {
  const { digest, mediaType } = image.descriptor
  const tags = named.filter(([, means]) => means === digest).map(([tag]) => tag)
  const images = isImageIndex(image) ? image.images.map((one) => one.image) : [image]
  const [first] = images
  const annotations = (isImageIndex(image) ? image.index.annotations : image.manifest.annotations) ?? {}
  const layers = new Map(images.flatMap(({ manifest }) => manifest.layers.map((layer) => [layer.digest, layer.size])))
  const isLast = (release: Release): boolean => releases.findLast(({ tag }) => tag === release.tag) === release
  return {
    digest,
    mediaType,
    tags,
    releases: releases
      .filter(({ prefix }) => prefix === prefixOf(digest))
      .map((release) => ({
        tag: release.tag,
        number: release.number,
        at: formatSeconds(release.seconds),
        isCurrent: tags.includes(release.tag) && isLast(release),
      })),
    platforms: images.map(({ config }) => formatPlatform(config)),
    created: annotations[ANNOTATION.created] ?? first?.config.created ?? undefined,
    revision: annotations[ANNOTATION.revision] ?? first?.config.config?.Labels?.[ANNOTATION.revision] ?? undefined,
    sizeBytes: [...layers.values()].reduce((sum, size) => sum + size, 0),
  }
}

function compareVersions(a: Version, b: Version): number {
  const [lastA, lastB] = [lastReleased(a), lastReleased(b)]
  if (lastA !== lastB) return lastA < lastB ? 1 : -1
  if (a.created !== b.created) return (a.created ?? '') < (b.created ?? '') ? 1 : -1
  return (a.tags[0] ?? a.digest).localeCompare(b.tags[0] ?? b.digest, 'en', { numeric: true })
}

function lastReleased({ releases }: Version): string {
  return releases.map(({ at }) => at).reduce((last, at) => (at > last ? at : last), '')
}
