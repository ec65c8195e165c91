import { crc32 } from 'node:zlib'
import { GZIP_HEADER, gzipTrailer } from '../gzip-members.ts'
import { QuickDeflater } from './quick-deflater.ts'

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

/** Room for what a chunk of 256 KiB becomes; it grows for larger ones. */
const ROOM_BYTES = 3 << 17

/** @see RFC 1952 */
export function openQuickGzip(): QuickGzip {
  const deflater = new QuickDeflater()
  // Filled again and again: made anew, such memory piles up.
  let made = Buffer.allocUnsafeSlow(ROOM_BYTES)
  let filled = 0
  let crc = 0
  let sizeBytes = 0
  const add = (bytes: Uint8Array): void => {
    if (filled + bytes.length > made.length) {
      const larger = Buffer.allocUnsafeSlow(2 * (filled + bytes.length))
      larger.set(made.subarray(0, filled))
      made = larger
    }
    made.set(bytes, filled)
    filled += bytes.length
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
      for (const block of deflater.write(chunk)) add(block)
    },
    end: () => {
      add(deflater.end())
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
