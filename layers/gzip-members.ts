import { crc32 } from '../src/core/crc32.ts'
import { STORED_BLOCK_BYTES, storedHeader, tinyDeflate } from './tiny-deflate.ts'

/**
 * The ten bytes before a member's deflate data: no time, no name, no system (zlib writes the host's).
 *
 * @see RFC 1952, section 2.3; "unknown" is 255
 */
export const GZIP_HEADER: Buffer = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])

/** The eight bytes after a member's deflate data. The size is kept modulo 2^32, as the format says. */
export function gzipTrailer(crc: number, sizeBytes: number): Buffer {
  const trailer = Buffer.allocUnsafe(8)
  trailer.writeUInt32LE(crc >>> 0, 0)
  trailer.writeUInt32LE(sizeBytes % 2 ** 32, 4)
  return trailer
}

/** A whole member made by the encoder that never changes; for headers and small generated files. */
export function tinyMember(content: Uint8Array): Buffer {
  return Buffer.concat([GZIP_HEADER, tinyDeflate(content), gzipTrailer(crc32(content), content.length)])
}

/** A member around deflate data that somebody else made, with the CRC-32 and size of what it inflates to. */
export async function* deflateMember(
  data: AsyncIterable<Uint8Array>,
  known: { readonly crc32: number; readonly sizeBytes: number },
): AsyncGenerator<Uint8Array> {
  yield GZIP_HEADER
  yield* data
  yield gzipTrailer(known.crc32, known.sizeBytes)
}

/**
 * A member that holds bytes as they are, in stored blocks: five bytes more for each 64 KiB.
 *
 * The CRC-32 is computed on the way.
 */
export async function* storedMember(data: AsyncIterable<Uint8Array>, sizeBytes: number): AsyncGenerator<Uint8Array> {
  yield GZIP_HEADER
  let crc = 0
  // Blocks are cut at fixed places, not where the source's chunks happen to end: equal content, equal bytes.
  let left = 0
  let done = 0
  if (sizeBytes === 0) yield storedHeader(0, true)
  for await (const chunk of data) {
    crc = crc32(chunk, crc)
    for (let at = 0; at < chunk.length;) {
      if (left === 0) {
        left = Math.min(STORED_BLOCK_BYTES, sizeBytes - done)
        if (left <= 0) throw new RangeError(`More than the ${sizeBytes} bytes that were announced`)
        yield storedHeader(left, done + left === sizeBytes)
      }
      const part = chunk.subarray(at, at + left)
      yield part
      at += part.length
      done += part.length
      left -= part.length
    }
  }
  if (done !== sizeBytes) throw new RangeError(`${done} bytes instead of the ${sizeBytes} that were announced`)
  yield gzipTrailer(crc, sizeBytes)
}

/** A gzip file of one member that holds a stream of unknown length as it is. */
export async function* storedGzip(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield GZIP_HEADER
  let crc = 0
  let sizeBytes = 0
  let pending: Uint8Array[] = []
  let pendingBytes = 0
  for await (const chunk of stream) {
    crc = crc32(chunk, crc)
    sizeBytes += chunk.length
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + STORED_BLOCK_BYTES - pendingBytes)
      pending.push(part)
      pendingBytes += part.length
      at += part.length
      if (pendingBytes < STORED_BLOCK_BYTES) continue
      yield storedHeader(pendingBytes, false)
      yield* pending
      pending = []
      pendingBytes = 0
    }
  }
  yield storedHeader(pendingBytes, true)
  yield* pending
  yield gzipTrailer(crc, sizeBytes)
}
