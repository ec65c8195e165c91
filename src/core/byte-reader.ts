import { asBuffer } from './bytes.ts'

const EMPTY = Buffer.alloc(0)

/**
 * Reads a stream of chunks in pieces of the caller's choosing. Is done with each chunk when it asks for the next, so that the
 * stream may use its memory again: what `take` gives is the caller's, what `pass` gives lasts until the next is asked for.
 */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>
  #chunk: Buffer = EMPTY

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** Exactly `length` bytes. @throws RangeError when the stream ends before */
  async take(length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length)
    let missing = length
    while (missing > 0) {
      await this.#fill()
      const part = this.#cut(Math.min(missing, this.#chunk.length))
      bytes.set(part, length - missing)
      missing -= part.length
    }
    return bytes
  }

  /** The next `length` bytes as they come; read it to its end before anything else. @throws RangeError as `take` */
  async *pass(length: number): AsyncGenerator<Buffer> {
    for (let missing = length; missing > 0;) {
      await this.#fill()
      const part = this.#cut(Math.min(missing, this.#chunk.length))
      missing -= part.length
      yield part
    }
  }

  /** Whether any byte is left. */
  async isAtEnd(): Promise<boolean> {
    if (this.#chunk.length > 0) return false
    for (;;) {
      const next = await this.#source.next()
      if (next.done) return true
      if (next.value.length === 0) continue
      this.#chunk = asBuffer(next.value)
      return false
    }
  }

  /** Lets the bytes go that are at hand, whatever their number. */
  async skipChunk(): Promise<void> {
    if (!(await this.isAtEnd())) this.#chunk = EMPTY
  }

  /** Lets go of the source; call it when the stream is not read to its end. */
  async close(): Promise<void> {
    this.#chunk = EMPTY
    await this.#source.return?.()
  }

  async #fill(): Promise<void> {
    if (await this.isAtEnd()) throw new RangeError('The stream ended early')
  }

  #cut(length: number): Buffer {
    const part = this.#chunk.subarray(0, length)
    this.#chunk = this.#chunk.subarray(length)
    return part
  }
}
