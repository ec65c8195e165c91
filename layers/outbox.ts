import { SlabPool } from '../src/core/slabs.ts'

/** As much as travels between threads at a time. */
const pieces = new SlabPool(1 << 18, 16)

/** What was put out and waits to be taken, in memory that is used again. */
export class Outbox {
  readonly #pieces: Buffer[] = []
  /** Where the first piece is read, and the last one written. */
  #readAt = 0
  #writtenTo = pieces.bytes

  /** Bytes that wait. */
  get sizeBytes(): number {
    const { length } = this.#pieces
    return length === 0 ? 0 : (length - 1) * pieces.bytes + this.#writtenTo - this.#readAt
  }

  /** Takes a copy. */
  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#writtenTo === pieces.bytes) {
        this.#pieces.push(pieces.take())
        this.#writtenTo = 0
      }
      const part = bytes.subarray(at, at + pieces.bytes - this.#writtenTo)
      this.#pieces.at(-1)?.set(part, this.#writtenTo)
      this.#writtenTo += part.length
      at += part.length
    }
  }

  /** Moves as much as there is room for; gives back how much that was. */
  takeInto(memory: Uint8Array): number {
    let taken = 0
    for (;;) {
      const [piece] = this.#pieces
      if (piece === undefined || taken === memory.length) return taken
      const end = this.#pieces.length === 1 ? this.#writtenTo : pieces.bytes
      const part = piece.subarray(this.#readAt, Math.min(end, this.#readAt + memory.length - taken))
      memory.set(part, taken)
      taken += part.length
      this.#readAt += part.length
      if (this.#readAt < end) continue
      this.#pieces.shift()
      pieces.give(piece)
      this.#readAt = 0
      if (this.#pieces.length === 0) this.#writtenTo = pieces.bytes
    }
  }

  /** Moves all of it into memory of its own. */
  take(): readonly Uint8Array<ArrayBuffer>[] {
    if (this.sizeBytes === 0) return []
    const all = new Uint8Array(this.sizeBytes)
    this.takeInto(all)
    return [all]
  }
}
