import { nextNumber } from './history.ts'
import { moveTag, readTagState, type Move, type TagClient } from './move-tag.ts'

/**
 * Gives a tag to a version: seven requests at most, none of them for a blob.
 *
 * @param version  digest or tag of an image or index of the repository
 * @throws RegistryError IMAGE_NOT_FOUND when there is no such version; as {@link moveTag}
 */
export async function promote(client: TagClient, version: string, tag: string, nowSeconds: number): Promise<Move> {
  const target = await client.getManifest(version)
  const state = await readTagState(client, tag, nowSeconds)
  const next = nextNumber(state.history.releases)
  const isCurrent = state.current === target.descriptor.digest
  return moveTag(client, state, target, { number: isCurrent ? next - 1 : next, nowSeconds })
}
