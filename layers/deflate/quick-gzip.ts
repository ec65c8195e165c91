import { crc32 } from '../../src/core/crc32.ts'
import { GZIP_HEADER, gzipTrailer } from '../gzip-members.ts'
import type { Checkpoint } from '../inflate/gzip-reader.ts'
import { QuickDeflater, STORED_REST_BYTES } from './quick-deflater.ts'

/**
 * Names the encoder in the keys of layers: equal names, equal bytes. A change of what it makes needs another name, or layers
 * are found under keys that promised others.
 */
export const DEFLATE_NAME = 'deflate-1'

/** Compresses one stream by gzip, on the calling thread. */
export interface QuickGzip {
  /** Takes content in pieces of any size. */
  write(chunk: Uint8Array): void
  end(): void
  /** Bytes that were made and not taken. */
  waitingBytes(): number
  /** What was made and not taken. */
  take(): Buffer
  /** Takes as much of it as there is room for; gives back how much that was. */
  takeInto(memory: Uint8Array): number
}

/** Hears of the file while it is made. */
export interface GzipIndexing {
  /** As of `GzipReader`, which finds the same checkpoints in the file. */
  readonly spanBytes: number
  /** What was made, in order, and the checkpoints among it. The memory of both is used again once this returns. */
  made(bytes: Uint8Array, checkpoints: readonly Checkpoint[]): void
}

/** Room for what a chunk of 256 KiB becomes; it grows for larger ones. */
const ROOM_BYTES = 3 << 17

/** @see RFC 1952 */
export function openQuickGzip(indexing?: GzipIndexing): QuickGzip {
  const deflater = new QuickDeflater()
  const places = indexing === undefined ? undefined : new Checkpoints(deflater, indexing.spanBytes)
  // Filled again and again: made anew, such memory piles up.
  let made = Buffer.allocUnsafeSlow(ROOM_BYTES)
  let filled = 0
  let crc = 0
  let sizeBytes = 0
  const add = (bytes: Uint8Array, checkpoints: readonly Checkpoint[] = []): void => {
    if (filled + bytes.length > made.length) {
      const larger = Buffer.allocUnsafeSlow(2 * (filled + bytes.length))
      larger.set(made.subarray(0, filled))
      made = larger
    }
    made.set(bytes, filled)
    filled += bytes.length
    indexing?.made(bytes, checkpoints)
  }
  add(GZIP_HEADER)
  const takeInto = (memory: Uint8Array): number => {
    const taken = Math.min(filled, memory.length)
    memory.set(made.subarray(0, taken))
    made.copyWithin(0, taken, filled)
    filled -= taken
    return taken
  }
  return {
    write: (chunk) => {
      crc = crc32(chunk, crc)
      sizeBytes += chunk.length
      for (const block of deflater.write(chunk)) add(block, places?.passFull(block.length))
    },
    end: () => {
      add(deflater.end(), places?.takeNext())
      add(gzipTrailer(crc, sizeBytes))
    },
    waitingBytes: () => filled,
    take: () => {
      const taken = Buffer.allocUnsafeSlow(filled)
      takeInto(taken)
      return taken
    },
    takeInto,
  }
}

/** Finds the places at which reading can begin, while blocks are made. */
class Checkpoints {
  readonly #deflater: QuickDeflater
  readonly #spanBytes: number
  #inBytes = GZIP_HEADER.length
  #outBytes = 0
  #last = 0
  /** Where the next block begins: told with its bytes, since it may begin amid the first of them. */
  #next: readonly Checkpoint[]

  constructor(deflater: QuickDeflater, spanBytes: number) {
    this.#deflater = deflater
    this.#spanBytes = spanBytes
    this.#next = [this.#placeOfNext()]
  }

  /** A block of full size was made, of so many bytes. */
  passFull(bytes: number): readonly Checkpoint[] {
    const { blockBytes } = this.#deflater
    const checkpoints = [...this.takeNext()]
    this.#inBytes += bytes
    const rest = this.#deflater.windowOfRest()
    const outBytes = this.#outBytes + blockBytes - 1
    if (rest !== undefined && this.#isDue(outBytes))
      checkpoints.push({ inBytes: this.#inBytes - STORED_REST_BYTES, bits: 0, outBytes, window: rest })
    this.#outBytes += blockBytes
    if (this.#isDue(this.#outBytes)) this.#next = [this.#placeOfNext()]
    return checkpoints
  }

  takeNext(): readonly Checkpoint[] {
    const next = this.#next
    this.#next = []
    return next
  }

  #isDue(outBytes: number): boolean {
    if (outBytes - this.#last <= this.#spanBytes) return false
    this.#last = outBytes
    return true
  }

  #placeOfNext(): Checkpoint {
    const pending = this.#deflater.pendingBits()
    const place =
      pending === 0 ? { inBytes: this.#inBytes, bits: 0 } : { inBytes: this.#inBytes + 1, bits: 8 - pending }
    return { ...place, outBytes: this.#outBytes, window: Buffer.from(this.#deflater.window()) }
  }
}
