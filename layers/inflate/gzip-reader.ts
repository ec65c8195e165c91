import { crc32 } from '../../src/core/crc32.ts'
import { InflateError, RawInflater, type InflateStatus } from './raw-inflater.ts'

/** Hears what a gzip file holds. */
export interface GzipListener {
  /** What was inflated, in order. The memory is used again once this returns, or once what it gives back is there. */
  data(chunk: Buffer): Promise<void> | void
  /** A place at which reading can begin; only with `spanBytes`. */
  checkpoint?(checkpoint: Checkpoint): void
}

/** A place between two blocks of the deflate data, and what must be known there. */
export interface Checkpoint {
  /** Bytes of the file before the first that is not read yet. */
  readonly inBytes: number
  /** Bits of the byte before that belong to the next block. */
  readonly bits: number
  /** Bytes of the content before. */
  readonly outBytes: number
  /** The 32 KiB of content before, zeros where there is less. The memory is used again once the listener returns. */
  readonly window: Buffer
}

/** How a gzip file is read. */
export interface GzipReaderOptions {
  /** Give a checkpoint at the start, and at each first start of a block that has more than this behind the last one. */
  readonly spanBytes?: number | undefined
  /** The best there is, unless told. */
  readonly inflater?: RawInflater | undefined
}

const HEADER_BYTES = 10
const TRAILER_BYTES = 8

/**
 * Reads a gzip file of any number of members on the calling thread, and proves every member's CRC-32 and size.
 *
 * Headers must be plain, as this program writes them: no name, comment or extra field.
 *
 * @see RFC 1952
 */
export class GzipReader {
  readonly #inflater: RawInflater
  readonly #listener: GzipListener
  readonly #spanBytes: number | undefined
  #state: 'header' | 'data' | 'trailer' = 'header'
  #crc = 0
  #memberBytes = 0
  #inBytes = 0
  #outBytes = 0
  #lastCheckpoint: number | undefined

  constructor(listener: GzipListener, { spanBytes, inflater = new RawInflater() }: GzipReaderOptions = {}) {
    this.#inflater = inflater
    this.#listener = listener
    this.#spanBytes = spanBytes
  }

  /**
   * Takes the next bytes; they may be used again when this is at its end. What it gives is to be waited for before it goes on.
   *
   * @throws InflateError
   */
  *write(chunk: Uint8Array): Generator<Promise<void>> {
    let rest = chunk
    while (rest.length > 0) {
      const taken = this.#inflater.write(rest)
      this.#inBytes += taken
      rest = rest.subarray(taken)
      yield* this.#read(false)
    }
  }

  /** As {@link write}, for the end. @throws InflateError when the file is not complete */
  *end(): Generator<Promise<void>> {
    yield* this.#read(true)
    if (this.#state !== 'header' || this.#inflater.unread().length > 0) throw new InflateError('unexpected end of file')
  }

  /** Bytes of the file that are read: no checkpoint will come before them. */
  readBytes(): number {
    return this.#place().inBytes
  }

  #place(): Pick<Checkpoint, 'inBytes' | 'bits'> {
    const { unreadBytes, bits } = this.#inflater.place()
    return { inBytes: this.#inBytes - unreadBytes, bits }
  }

  *#read(isLast: boolean): Generator<Promise<void>> {
    for (;;) {
      switch (this.#state) {
        case 'header':
          if (!this.#readHeader()) return
          break
        case 'data':
          if (!(yield* this.#readData(isLast))) return
          break
        case 'trailer':
          if (!this.#readTrailer()) return
      }
    }
  }

  #readHeader(): boolean {
    const bytes = this.#inflater.unread()
    if (bytes.length < HEADER_BYTES) return false
    if (bytes[0] !== 0x1f || bytes[1] !== 0x8b || bytes[2] !== 8 || bytes[3] !== 0)
      throw new InflateError('incorrect header check')
    this.#inflater.skip(HEADER_BYTES)
    this.#inflater.start()
    this.#crc = this.#memberBytes = 0
    this.#state = 'data'
    if (this.#isDue()) this.#checkpoint()
    return true
  }

  *#readData(isLast: boolean): Generator<Promise<void>, boolean> {
    const status = yield* this.#run(isLast)
    if (status === 'input') return false
    const heard = this.#hear()
    if (heard !== undefined) yield heard
    this.#inflater.release()
    if (status === 'paused') this.#checkpoint()
    if (status === 'done') this.#state = 'trailer'
    return true
  }

  /** What came before damaged data is heard, so that the listener knows how far it got. */
  *#run(isLast: boolean): Generator<Promise<void>, InflateStatus> {
    try {
      return this.#inflater.run(isLast)
    } catch (error) {
      const heard = this.#hear()
      if (heard !== undefined) yield heard
      throw error
    }
  }

  #readTrailer(): boolean {
    const bytes = this.#inflater.unread()
    if (bytes.length < TRAILER_BYTES) return false
    if (bytes.readUInt32LE(0) !== this.#crc) throw new InflateError('incorrect data check')
    if (bytes.readUInt32LE(4) !== this.#memberBytes % 2 ** 32) throw new InflateError('incorrect length check')
    this.#inflater.skip(TRAILER_BYTES)
    this.#state = 'header'
    return true
  }

  #hear(): Promise<void> | undefined {
    const chunk = this.#inflater.output()
    if (chunk.length === 0) return undefined
    this.#crc = crc32(chunk, this.#crc)
    this.#memberBytes += chunk.length
    this.#outBytes += chunk.length
    return this.#listener.data(chunk) ?? undefined
  }

  #isDue(): boolean {
    if (this.#spanBytes === undefined) return false
    return this.#lastCheckpoint === undefined || this.#outBytes - this.#lastCheckpoint > this.#spanBytes
  }

  #checkpoint(): void {
    const window = this.#inflater.window()
    this.#listener.checkpoint?.({ ...this.#place(), outBytes: this.#outBytes, window })
    this.#lastCheckpoint = this.#outBytes
    this.#inflater.pauseAfter((this.#spanBytes ?? 0) + 1)
  }
}
