import { Builder } from 'flatbuffers'
import type { TarMemberHead } from '../tar-members.ts'
import type { Spans } from './spans.ts'
import type { ZtocParts } from './spill.ts'

const TOOL = 'layerwright'

/**
 * Writes a ztoc. Members are written as they come, and the checkpoints, most of it, are put behind the rest without a copy.
 *
 * @see SOCI snapshotter, `ztoc/fbs/ztoc.fbs`
 */
export class ZtocWriter {
  readonly #builder = new Builder(1 << 16)
  /** A FlatBuffer is written from its end: what is begun first lies last. */
  readonly #checkpoints = this.#builder.createByteVector(new Uint8Array())
  readonly #members: number[] = []

  addMember(member: TarMemberHead): void {
    this.#members.push(writeMember(this.#builder, member))
  }

  finish({ digests, checkpoints, compressedBytes, tarBytes }: Spans & { readonly tarBytes: number }): ZtocParts {
    const builder = this.#builder
    const version = builder.createString('0.9')
    const tool = builder.createString(TOOL)
    const toc = writeTable(builder, [writeVector(builder, this.#members)])
    const spans = writeVector(
      builder,
      digests.map((digest) => builder.createString(digest)),
    )
    // The first field, the algorithm, is left at its default: gzip.
    builder.startObject(4)
    builder.addFieldInt32(1, digests.length - 1, 0)
    builder.addFieldOffset(2, spans, 0)
    builder.addFieldOffset(3, this.#checkpoints, 0)
    const compression = builder.endObject()
    builder.startObject(6)
    builder.addFieldOffset(0, version, 0)
    builder.addFieldOffset(1, tool, 0)
    builder.addFieldInt64(2, BigInt(compressedBytes), 0n)
    builder.addFieldInt64(3, BigInt(tarBytes), 0n)
    builder.addFieldOffset(4, toc, 0)
    builder.addFieldOffset(5, compression, 0)
    builder.finish(builder.endObject())
    // A copy of its own memory, whose last word is the length of the empty vector.
    const head = Uint8Array.from(builder.asUint8Array())
    const length = checkpoints.reduce((sum, part) => sum + part.length, 0)
    new DataView(head.buffer).setUint32(head.length - 4, length, true)
    return [head, ...checkpoints]
  }
}

/** How the reference calls the kinds of entries. */
const TYPES: Readonly<Partial<Record<TarMemberHead['type'], string>>> = {
  file: 'reg',
  directory: 'dir',
  symlink: 'symlink',
  link: 'hardlink',
  'character-device': 'char',
  'block-device': 'block',
  fifo: 'fifo',
}

function writeMember(builder: Builder, member: TarMemberHead): number {
  const text = (value: string): number => builder.createString(value)
  const name = text(member.name)
  const type = text(TYPES[member.type] ?? 'reg')
  const link = text(member.target ?? '')
  const owner = text('')
  const time = text(`${new Date(member.mtimeSeconds * 1000).toISOString().slice(0, 19)}Z`)
  const records = writeVector(
    builder,
    Object.entries(member.pax)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => writeTable(builder, [text(key), text(value)])),
  )
  builder.startObject(14)
  builder.addFieldOffset(0, name, 0)
  builder.addFieldOffset(1, type, 0)
  builder.addFieldInt64(2, BigInt(member.offset), 0n)
  builder.addFieldInt64(3, BigInt(member.type === 'file' ? member.sizeBytes : 0), 0n)
  builder.addFieldOffset(4, link, 0)
  builder.addFieldInt64(5, BigInt(member.mode), 0n)
  builder.addFieldInt32(6, member.uid, 0)
  builder.addFieldInt32(7, member.gid, 0)
  builder.addFieldOffset(8, owner, 0)
  builder.addFieldOffset(9, owner, 0)
  builder.addFieldOffset(10, time, 0)
  builder.addFieldInt64(11, BigInt(member.deviceMajor), 0n)
  builder.addFieldInt64(12, BigInt(member.deviceMinor), 0n)
  builder.addFieldOffset(13, records, 0)
  return builder.endObject()
}

/** A table of offsets alone. */
function writeTable(builder: Builder, offsets: readonly number[]): number {
  builder.startObject(offsets.length)
  for (const [field, offset] of offsets.entries()) builder.addFieldOffset(field, offset, 0)
  return builder.endObject()
}

function writeVector(builder: Builder, offsets: readonly number[]): number {
  builder.startVector(4, offsets.length, 4)
  for (const offset of offsets.toReversed()) builder.addOffset(offset)
  return builder.endVector()
}
