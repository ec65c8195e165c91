import { Builder } from 'flatbuffers'
import type { Digest } from 'oci-spec-types'
import { digestOf } from '../../src/core/digest.ts'
import { GzipReader, type Checkpoint } from '../inflate/gzip-reader.ts'
import { readTar, type TarMember } from '../tar.ts'

/** Part of what names a ztoc: another layout of ours would need another number. */
export const ZTOC_VERSION = 1

/** Content between two places at which reading can begin; what SOCI itself takes. */
export const SPAN_BYTES = 4 * 2 ** 20

const TOOL = 'layerwright'

/** Where a layer's spans begin, and what is needed to begin there. */
interface Spans {
  readonly checkpoints: readonly Checkpoint[]
  /** Of the compressed bytes of each span. */
  readonly digests: readonly Digest[]
  readonly compressedBytes: number
  readonly tarBytes: number
}

/**
 * Makes the table of contents of a gzip layer by which a lazy snapshotter reads files before the layer is pulled.
 *
 * It holds every file's place in the tar, and every 4 MiB a checkpoint: bit position in the gzip file and the 32 KiB of
 * content before it, so that inflating can begin there. The layer itself stays as it is.
 *
 * @param blob the layer's bytes; its gzip headers must be plain, as this program writes them
 * @param what names the layer in errors
 * @throws InflateError, BuildError ARCHIVE_INVALID for a layer that is damaged
 * @see SOCI snapshotter, ztoc version 0.9
 */
export async function makeZtoc(blob: AsyncIterable<Uint8Array>, what: string): Promise<Uint8Array> {
  const recorder = new SpanRecorder()
  const members: TarMember[] = []
  for await (const member of readTar(recorder.read(blob), what)) members.push(member)
  return writeZtoc(recorder.finish(), members)
}

/** Inflates a layer and notes its spans on the way. Compressed bytes are held for one span at most. */
class SpanRecorder {
  readonly #checkpoints: Checkpoint[] = []
  readonly #digests: Digest[] = []
  /** Compressed bytes whose span is not known yet, and where they begin. */
  #held: Uint8Array[] = []
  #heldAt = 0
  #compressedBytes = 0
  #tarBytes = 0

  async *read(blob: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const ready: Buffer[] = []
    const reader = new GzipReader(
      {
        data: (chunk) => {
          this.#tarBytes += chunk.length
          ready.push(Buffer.from(chunk))
        },
        checkpoint: (checkpoint) => this.#begin(checkpoint),
      },
      { spanBytes: SPAN_BYTES },
    )
    for await (const chunk of blob) {
      this.#compressedBytes += chunk.length
      this.#held.push(chunk)
      reader.write(chunk)
      yield* ready.splice(0)
    }
    reader.end()
    yield* ready.splice(0)
  }

  finish(): Spans {
    return {
      checkpoints: this.#checkpoints,
      digests: [...this.#digests, digestOf(Buffer.concat(this.#held))],
      compressedBytes: this.#compressedBytes,
      tarBytes: this.#tarBytes,
    }
  }

  #begin(checkpoint: Checkpoint): void {
    const held = Buffer.concat(this.#held)
    if (this.#checkpoints.length > 0) this.#digests.push(digestOf(held.subarray(0, checkpoint.inBytes - this.#heldAt)))
    // A span that begins amid a byte has that byte, too.
    const start = checkpoint.inBytes - (checkpoint.bits > 0 ? 1 : 0)
    this.#held = [Buffer.from(held.subarray(start - this.#heldAt))]
    this.#heldAt = start
    this.#checkpoints.push(checkpoint)
  }
}

/** @see SOCI snapshotter, `ztoc/fbs/ztoc.fbs` */
function writeZtoc(spans: Spans, members: readonly TarMember[]): Uint8Array {
  const builder = new Builder(1 << 20)
  const version = builder.createString('0.9')
  const tool = builder.createString(TOOL)
  const toc = writeTable(builder, [
    writeVector(
      builder,
      members.map((member) => writeMember(builder, member)),
    ),
  ])
  const checkpoints = builder.createByteVector(packCheckpoints(spans.checkpoints))
  const digests = writeVector(
    builder,
    spans.digests.map((digest) => builder.createString(digest)),
  )
  // The first field, the algorithm, is left at its default: gzip.
  builder.startObject(4)
  builder.addFieldInt32(1, spans.checkpoints.length - 1, 0)
  builder.addFieldOffset(2, digests, 0)
  builder.addFieldOffset(3, checkpoints, 0)
  const compression = builder.endObject()
  builder.startObject(6)
  builder.addFieldOffset(0, version, 0)
  builder.addFieldOffset(1, tool, 0)
  builder.addFieldInt64(2, BigInt(spans.compressedBytes), 0n)
  builder.addFieldInt64(3, BigInt(spans.tarBytes), 0n)
  builder.addFieldOffset(4, toc, 0)
  builder.addFieldOffset(5, compression, 0)
  builder.finish(builder.endObject())
  return builder.asUint8Array()
}

/** How the reference calls the kinds of entries. */
const TYPES: Readonly<Partial<Record<TarMember['type'], string>>> = {
  file: 'reg',
  directory: 'dir',
  symlink: 'symlink',
  link: 'hardlink',
  'character-device': 'char',
  'block-device': 'block',
  fifo: 'fifo',
}

function writeMember(builder: Builder, member: TarMember): number {
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

const WINDOW_BYTES = 32768
const CHECKPOINT_BYTES = 8 + 8 + 1 + WINDOW_BYTES

/** Little-endian: their number and the span, then place in the file, place in the tar, bits and window of each. */
function packCheckpoints(checkpoints: readonly Checkpoint[]): Uint8Array {
  const bytes = Buffer.alloc(12 + CHECKPOINT_BYTES * checkpoints.length)
  bytes.writeInt32LE(checkpoints.length, 0)
  bytes.writeBigInt64LE(BigInt(SPAN_BYTES), 4)
  for (const [n, { inBytes, bits, outBytes, window }] of checkpoints.entries()) {
    const at = 12 + n * CHECKPOINT_BYTES
    bytes.writeBigInt64LE(BigInt(inBytes), at)
    bytes.writeBigInt64LE(BigInt(outBytes), at + 8)
    bytes.writeUInt8(bits, at + 16)
    window.copy(bytes, at + 17)
  }
  return bytes
}
