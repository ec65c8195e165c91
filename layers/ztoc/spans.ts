import { createHash } from 'node:crypto'
import type { Digest } from 'oci-spec-types'
import type { Checkpoint } from '../inflate/gzip-reader.ts'
import type { Spill, ZtocParts } from './spill.ts'

/** Where a layer's spans begin, and what is needed to begin there. */
export interface Spans {
  /** Of the compressed bytes of each span. */
  readonly digests: readonly Digest[]
  /** Their number and the span, then place in the file, place in the tar, bits and window of each. Little-endian. */
  readonly checkpoints: ZtocParts
  readonly compressedBytes: number
}

const WINDOW_BYTES = 32768
const CHECKPOINT_BYTES = 8 + 8 + 1 + WINDOW_BYTES
/** Checkpoints lie together in pieces of about a megabyte: a large layer has hundreds. */
const PIECE_CHECKPOINTS = 31
/** Pieces that are held where others can be spilled: a layer of less than 250 MB of content needs no file. */
const HELD_PIECES = 2

/** Notes the spans of a layer that is inflated, and hashes each. Holds what was written last, and the checkpoints that are not spilled. */
export class SpanRecorder {
  readonly #spanBytes: number
  readonly #digests: Digest[] = []
  readonly #packed: Uint8Array<ArrayBuffer>[] = []
  readonly #spill: Spill | undefined
  #count = 0
  #hash = createHash('sha256')
  /** Compressed bytes whose span is not known yet, where they begin, and the byte before them. */
  #held: Uint8Array[] = []
  #heldAt = 0
  #last = 0

  /**
   * @param spanBytes content between two checkpoints
   * @param spill     takes checkpoints that are too many to hold; all are held without it
   */
  constructor(spanBytes: number, spill?: Spill) {
    this.#spanBytes = spanBytes
    this.#spill = spill
  }

  /** Takes bytes before they are inflated. */
  hold(chunk: Uint8Array): void {
    this.#held.push(chunk)
  }

  /** A span begins, among the bytes that are held. */
  begin({ inBytes, outBytes, bits, window }: Checkpoint): void {
    this.#hashUpTo(inBytes)
    // What comes before the first span, a header, is in none.
    if (this.#count > 0) this.#endSpan()
    this.#hash = createHash('sha256')
    // A span that begins amid a byte has that byte, too.
    if (bits > 0) this.#hash.update(Uint8Array.of(this.#last))
    const bytes = this.#nextPlace()
    bytes.writeBigInt64LE(BigInt(inBytes), 0)
    bytes.writeBigInt64LE(BigInt(outBytes), 8)
    bytes.writeUInt8(bits, 16)
    window.copy(bytes, 17)
    this.#count++
  }

  /** No span will begin before this place: what was held may be used again. */
  letGo(inBytes: number): void {
    this.#hashUpTo(inBytes)
    this.#held = this.#held.map((piece) => Uint8Array.from(piece))
  }

  finish(): Spans {
    this.#hashUpTo(Infinity)
    this.#endSpan()
    const head = Buffer.from(new ArrayBuffer(12))
    head.writeInt32LE(this.#count, 0)
    head.writeBigInt64LE(BigInt(this.#spanBytes), 4)
    const last = this.#packed.pop()
    const used = (this.#count % PIECE_CHECKPOINTS || PIECE_CHECKPOINTS) * CHECKPOINT_BYTES
    const rest = last === undefined ? [] : [last.subarray(0, used)]
    const checkpoints = [head, ...this.#packed, ...(this.#spill?.finish() ?? []), ...rest]
    return { digests: this.#digests, checkpoints, compressedBytes: this.#heldAt }
  }

  #nextPlace(): Buffer {
    const n = this.#count % PIECE_CHECKPOINTS
    if (n === 0) this.#packed.push(this.#spillPiece() ?? new Uint8Array(PIECE_CHECKPOINTS * CHECKPOINT_BYTES))
    const { buffer } = this.#packed.at(-1) ?? new Uint8Array()
    return Buffer.from(buffer, n * CHECKPOINT_BYTES, CHECKPOINT_BYTES)
  }

  /** Writes the last piece away. @returns its memory, if it was */
  #spillPiece(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#spill === undefined || this.#packed.length <= HELD_PIECES) return undefined
    const piece = this.#packed.pop()
    if (piece !== undefined) this.#spill.write(piece)
    return piece
  }

  #endSpan(): void {
    this.#digests.push(`sha256:${this.#hash.digest('hex')}`)
  }

  #hashUpTo(place: number): void {
    while (this.#heldAt < place) {
      const [piece] = this.#held
      if (piece === undefined) return
      const part = piece.subarray(0, place - this.#heldAt)
      this.#hash.update(part)
      this.#heldAt += part.length
      this.#last = part.at(-1) ?? this.#last
      if (part.length === piece.length) this.#held.shift()
      else this.#held[0] = piece.subarray(part.length)
    }
  }
}
