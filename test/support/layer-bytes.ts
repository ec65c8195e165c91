import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import { readTar } from '../../layers/tar.ts'
import type { LayerStream } from '../../layers/layer.ts'
import { collect, copied, openBytes } from '../../src/core/bytes.ts'

const LIMIT = 2 ** 28

/** A layer read whole, with what is in it. */
export interface ReadLayer {
  readonly blob: Buffer
  readonly digest: string
  readonly tar: Buffer
  readonly diffId: string
  readonly members: readonly ReadMember[]
}

/** A member of a layer. */
export interface ReadMember {
  readonly name: string
  readonly type: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeSeconds: number
  readonly target: string | undefined
  readonly content: Buffer
}

/** Reads a gzip or plain layer whole, and checks that its diffId is the hash of its tar. */
export async function readLayer(stream: LayerStream): Promise<ReadLayer> {
  const blob = await collect(copied(stream.blob), LIMIT)
  const tar = stream.mediaType.endsWith('+gzip') ? gunzipSync(blob) : blob
  const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`
  if (stream.diffId() !== diffId) throw new Error(`The diffId ${stream.diffId()} is not the tar's: ${diffId}`)
  const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`
  return { blob, digest, tar, diffId, members: await readMembers(tar) }
}

/** The members of a tar, in order. */
export async function readMembers(tar: Uint8Array): Promise<readonly ReadMember[]> {
  const members: ReadMember[] = []
  for await (const member of readTar(openBytes(tar)(), 'the layer')) {
    const { name, type, mode, uid, gid, mtimeSeconds, target } = member
    members.push({ name, type, mode, uid, gid, mtimeSeconds, target, content: await collect(member.data, LIMIT) })
  }
  return members
}

/** Content by name, as text; directories and links are left out. */
export function filesOf(layer: ReadLayer): Record<string, string> {
  return Object.fromEntries(
    layer.members.filter(({ type }) => type === 'file').map(({ name, content }) => [name, String(content)]),
  )
}
