import type { Digest } from 'oci-spec-types'
import type { RegistryClient } from '../../registry/client.ts'
import type { RawManifest } from '../../registry/manifest.ts'
import { formatFamiliar } from '../../registry/reference.ts'
import { BuildError } from '../core/errors.ts'
import { nextRelease, readHistory, settleHistory, type History } from './history.ts'
import { LONGEST_RELEASED_TAG, prefixOf, type Release } from './release.ts'

/** What is needed of a repository. */
export type TagClient = Pick<
  RegistryClient,
  'registry' | 'repository' | 'tags' | 'headManifest' | 'getManifest' | 'putManifest'
>

/** What a tag was moved from and to. */
export interface Move {
  readonly tag: string
  readonly from: Digest | undefined
  readonly to: Digest
  /** Of the image in the tag's history. */
  readonly number: number
  /** Whether the tag meant this image before. */
  readonly isUnchanged: boolean
}

/** A tag as it is found. */
export interface TagState {
  readonly tag: string
  readonly current: Digest | undefined
  readonly history: History
  /** What must be recorded before the tag is moved, so that it is not lost. */
  readonly unrecorded: Release | undefined
}

/** Reads what a tag means and has meant, in two requests. @throws RegistryError; BuildError USAGE for a tag that is too long */
export async function readTagState(client: TagClient, tag: string, nowSeconds: number): Promise<TagState> {
  if (tag.length > LONGEST_RELEASED_TAG)
    throw new BuildError('USAGE', `The tag has more than ${LONGEST_RELEASED_TAG} characters: \`${tag}\``, {
      hint: 'What a tag meant before is kept under tags that begin with it, and registries take 128 characters.',
    })
  const [current, tags] = await Promise.all([client.headManifest(tag), allTags(client)])
  return { tag, current: current?.digest, ...settleHistory(readHistory(tag, tags), current?.digest, nowSeconds) }
}

/** The tags of a repository, records of releases among them. @throws RegistryError */
export async function allTags(client: TagClient): Promise<readonly string[]> {
  const tags: string[] = []
  for await (const tag of client.tags()) tags.push(tag)
  return tags
}

/**
 * Gives a tag to an image that is in the repository: what it meant is recorded, the tag moves, the move is recorded, and then
 * it is looked whether the tag stayed. No blob is touched, and whoever pulls the tag gets the old image or the new one.
 *
 * @param number  of the release; the next one, or that of an earlier one, which is a rollback to it
 * @throws BuildError TAG_MOVED when somebody else moved the tag meanwhile; both moves are in its history then
 */
export async function moveTag(
  client: TagClient,
  state: TagState,
  target: RawManifest,
  options: { readonly number: number; readonly nowSeconds: number },
): Promise<Move> {
  const { tag, current, unrecorded } = state
  const to = target.descriptor.digest
  const { number } = options
  // Before the tag moves: until then only the tag may hold the image.
  if (unrecorded !== undefined && current !== undefined)
    await client.putManifest(unrecorded.record, await client.getManifest(current))
  if (current === to && number === state.history.releases.at(-1)?.number)
    return { tag, from: current, to, number, isUnchanged: true }
  if (current !== to) await client.putManifest(tag, target)
  // After it: a move that fails half-way left no trace of what never was.
  await client.putManifest(nextRelease(state.history, number, to, options.nowSeconds).record, target)
  const found = await client.headManifest(tag)
  if (found?.digest !== to) throw movedMeanwhile(client, tag, to, found?.digest)
  return { tag, from: current, to, number, isUnchanged: current === to }
}

/** The image of a release, checked against what its record says. @throws BuildError IMAGE_NOT_FOUND, DIGEST_MISMATCH */
export async function readReleased(client: TagClient, release: Release): Promise<RawManifest> {
  const manifest = await client.getManifest(release.record)
  if (prefixOf(manifest.descriptor.digest) === release.prefix) return manifest
  throw new BuildError('DIGEST_MISMATCH', `Another image lies where a release was kept: \`${release.record}\``, {
    hint: 'Somebody pushed over it. Name the image that is meant by its digest, with `layerwright promote`.',
    data: { expected: release.prefix, actual: manifest.descriptor.digest },
  })
}

function movedMeanwhile(client: TagClient, tag: string, wanted: Digest, found: Digest | undefined): BuildError {
  const { registry, repository } = client
  const name = formatFamiliar({ registry, repository, tag, digest: undefined })
  const what = found === undefined ? 'is gone' : `means ${found}`
  return new BuildError(
    'TAG_MOVED',
    `Somebody else moved the tag at the same time: \`${name}\` ${what}, not ${wanted}`,
    {
      hint: `Registries have no way to refuse the second of two. Both are kept: see \`layerwright versions ${formatFamiliar({ registry, repository, tag: undefined, digest: undefined })}\`, and repeat the command if yours is to stay.`,
      data: { tag, wanted, found },
    },
  )
}
