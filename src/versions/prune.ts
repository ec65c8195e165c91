import { isDigest, type Digest } from 'oci-spec-types'
import type { RegistryClient } from '../../registry/client.ts'
import { RegistryError } from '../../registry/errors.ts'
import { formatFamiliar } from '../../registry/reference.ts'
import { BuildError, isBuildError } from '../core/errors.ts'
import { LIMITS, makeLimiter } from '../core/limits.ts'
import { readHistory, recordsOf, settleHistory, type History } from './history.ts'
import { BESIDE } from './list-versions.ts'
import { allTags, type TagClient } from './move-tag.ts'
import { formatSeconds, parseRecord, prefixOf, type Release } from './release.ts'

/** A record of a release that is older than all that are kept. */
export interface OldRelease {
  /** The tag that was moved, such as `stable`. */
  readonly tag: string
  readonly number: number
  /** ISO 8601. */
  readonly at: string
  /** The tag that keeps the release, and that is removed. */
  readonly record: string
  readonly digest: Digest
  /** Tags that stay and mean the same image. Where there are none, the registry may collect it. */
  readonly alsoNamed: readonly string[]
}

/** What is kept of the history of a tag. */
export interface KeepRules {
  /** Releases on the way back of each tag, the present one among them; {@link LEAST_KEPT} or more. */
  readonly keep: number
  /** Only the history of this tag; of all unless given. */
  readonly tag?: string | undefined
  /** Tags and digests. Of a history, their releases stay, and what came after. */
  readonly protect: readonly string[]
}

/** What a tag means, and what it meant before. */
export const LEAST_KEPT = 2

/**
 * What can go of the histories of a repository's tags: records of releases that are older than those that are kept. Tags that
 * somebody made are never among them.
 *
 * @returns oldest first, as they must be removed: whatever is left on the way, what is kept is read in the same way
 * @throws RegistryError; BuildError IMAGE_NOT_FOUND for a tag without a history, and for what is to be protected and is not there
 */
export async function findOldReleases(
  client: TagClient,
  { keep, tag, protect }: KeepRules,
  nowSeconds: number,
): Promise<readonly OldRelease[]> {
  const tags = await allTags(client)
  const protectedPrefixes = await Promise.all(protect.map(async (what) => prefixOf(await resolve(client, what))))
  const released = new Set(tags.flatMap((one) => parseRecord(one)?.tag ?? []))
  if (tag !== undefined && !released.has(tag)) throw notThere(client, tag, 'The tag was never promoted')
  const old: Release[] = []
  for (const one of tag === undefined ? [...released].toSorted() : [tag]) {
    const current = await client.headManifest(one)
    const { history } = settleHistory(readHistory(one, tags), current?.digest, nowSeconds)
    old.push(...olderThanKept(history, recordsOf(one, tags), keep, protectedPrefixes))
  }
  return describe(client, old, tags)
}

/** Records before the first one that stays. */
function olderThanKept(
  { tag, releases }: History,
  records: readonly Release[],
  keep: number,
  protectedPrefixes: readonly string[],
): readonly Release[] {
  const current = releases.at(-1)
  const previous = releases.findLastIndex(({ prefix }) => prefix !== current?.prefix)
  const oldest = releases[Math.max(0, Math.min(releases.length - keep, previous))]
  const end = records.findIndex(({ record, prefix }) => record === oldest?.record || protectedPrefixes.includes(prefix))
  const kept = records.slice(Math.max(0, end)).map(({ record }) => record)
  const expected = releases.filter(({ record }) => kept.includes(record))
  const found = readHistory(tag, kept).releases
  const isSame =
    found.length === expected.length &&
    found.every(({ record, number }, at) => record === expected[at]?.record && number === expected[at].number)
  // Two releases at the same time may need what was before them to be told apart.
  return isSame ? records.slice(0, Math.max(0, end)) : []
}

async function describe(
  client: TagClient,
  old: readonly Release[],
  tags: readonly string[],
): Promise<readonly OldRelease[]> {
  const going = new Set(old.map(({ record }) => record))
  const prefixes = new Set(old.map(({ prefix }) => prefix))
  const limit = makeLimiter(LIMITS.downloads)
  const asked = tags.filter((tag) => {
    const record = parseRecord(tag)
    return old.length > 0 && (record === undefined ? !BESIDE.test(tag) : prefixes.has(record.prefix))
  })
  const ask = async (tag: string): Promise<readonly [string, Digest | undefined]> => [
    tag,
    (await limit(() => client.headManifest(tag)))?.digest,
  ]
  const digests = new Map(await Promise.all(asked.map(ask)))
  return old.flatMap(({ tag, record, number, seconds }) => {
    const digest = digests.get(record)
    // Somebody removed it meanwhile.
    if (digest === undefined) return []
    const alsoNamed = [...digests].filter(([other, means]) => means === digest && !going.has(other))
    return [{ tag, number, at: formatSeconds(seconds), record, digest, alsoNamed: alsoNamed.map(([other]) => other) }]
  })
}

/**
 * Removes records, in the order that they come in.
 *
 * Some registries take the whole image when they are told to remove a tag. Where other tags mean the image it is looked after
 * each one, and put back.
 *
 * @param removed  is told of each one that is gone
 * @throws RegistryError; BuildError NOT_SUPPORTED where the registry removes no tags, or images with them
 */
export async function removeReleases(
  client: TagClient,
  remover: Pick<RegistryClient, 'deleteManifest'>,
  old: readonly OldRelease[],
  removed: (release: OldRelease) => void,
): Promise<void> {
  for (const release of old) {
    const { digest, record, alsoNamed } = release
    const [witness] = alsoNamed
    const manifest = witness === undefined ? undefined : await client.getManifest(digest)
    try {
      await remover.deleteManifest(record)
    } catch (error) {
      // Somebody else did.
      if (!isBuildError(error, 'IMAGE_NOT_FOUND')) throw refusal(client, error)
    }
    if (witness !== undefined && manifest !== undefined && (await client.headManifest(witness)) === undefined) {
      for (const name of alsoNamed) await client.putManifest(name, manifest)
      throw new BuildError(
        'NOT_SUPPORTED',
        `The registry removes whole images when it is told to remove a tag: ${client.registry}`,
        {
          hint: `\`${record}\` took ${alsoNamed.map((name) => `\`${name}\``).join(', ')} with it; they were put back. Use the registry's own rules for old tags.`,
          data: { removed: record, restored: alsoNamed },
        },
      )
    }
    removed(release)
  }
}

function refusal({ registry }: TagClient, error: unknown): unknown {
  if (!(error instanceof RegistryError) || (error.status !== 405 && error.status !== 400)) return error
  return new BuildError('NOT_SUPPORTED', `The registry removes no tags: ${registry}`, {
    hint: "Docker's registry removes tags from version 3 on, others have rules of their own for old tags. The image of a release that no other tag means can go with `layerwright delete REPOSITORY@DIGEST`; `--dry-run` tells which.",
    cause: error,
  })
}

async function resolve(client: TagClient, what: string): Promise<Digest> {
  if (isDigest(what)) return what
  const found = await client.headManifest(what)
  if (found === undefined) throw notThere(client, what, 'The registry has no such tag')
  return found.digest
}

function notThere({ registry, repository }: TagClient, tag: string, what: string): BuildError {
  const name = formatFamiliar({ registry, repository, tag, digest: undefined })
  return new BuildError('IMAGE_NOT_FOUND', `${what}: \`${name}\``, {
    hint: `See \`layerwright versions ${formatFamiliar({ registry, repository, tag: undefined, digest: undefined })}\`.`,
  })
}
