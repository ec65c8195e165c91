import { digestHex, isDigest } from 'oci-spec-types'
import { formatFamiliar } from '../../registry/reference.ts'
import { BuildError } from '../core/errors.ts'
import { moveTag, readReleased, readTagState, type Move, type TagClient, type TagState } from './move-tag.ts'
import type { Release } from './release.ts'

const NUMBER = /^[1-9]\d{0,5}$/
const HEX = /^[0-9a-f]{7,128}$/

/**
 * Gives a tag back to the image that it meant before; called again, to the one before that.
 *
 * @param to  number of a release, its digest or how that begins (7 digits); the one before the present image unless given
 * @throws BuildError IMAGE_NOT_FOUND when there is nothing to go back to; USAGE; as {@link moveTag}
 */
export async function rollback(
  client: TagClient,
  tag: string,
  to: string | undefined,
  nowSeconds: number,
): Promise<Move> {
  const state = await readTagState(client, tag, nowSeconds)
  const name = formatFamiliar({ registry: client.registry, repository: client.repository, tag, digest: undefined })
  if (state.current === undefined)
    throw new BuildError('IMAGE_NOT_FOUND', `The registry has no such tag: \`${name}\``, {
      hint: 'Give it to a version first, with `layerwright promote`.',
    })
  const release = to === undefined ? previous(state, name) : chosen(state, to, name)
  return moveTag(client, state, await readReleased(client, release), { number: release.number, nowSeconds })
}

function previous({ history: { releases } }: TagState, name: string): Release {
  const current = releases.at(-1)
  const found = releases.findLast(({ prefix }) => prefix !== current?.prefix)
  if (found !== undefined) return found
  throw new BuildError('IMAGE_NOT_FOUND', `There is nothing to go back to: \`${name}\``, {
    hint: 'What a tag meant is known from the first `layerwright promote` on. Any image can be named by its digest there.',
  })
}

function chosen({ history: { releases } }: TagState, to: string, name: string): Release {
  const hex = isDigest(to) ? digestHex(to) : to
  const isNumber = NUMBER.test(to)
  if (!isNumber && !HEX.test(hex))
    throw new BuildError('USAGE', `Not a release: \`${to}\``, {
      hint: 'Give the number of one, or its digest, as `layerwright versions` lists them.',
    })
  const found = releases.findLast(({ number, prefix }) =>
    isNumber ? number === Number(to) : hex.startsWith(prefix) || prefix.startsWith(hex),
  )
  if (found !== undefined) return found
  const known = releases.map(({ number, prefix }) => `${number} (${prefix})`).join(', ')
  throw new BuildError('IMAGE_NOT_FOUND', `\`${name}\` has no such release to go back to: \`${to}\``, {
    hint: `It can go back through ${known}. Any image can be named by its digest with \`layerwright promote\`.`,
  })
}
