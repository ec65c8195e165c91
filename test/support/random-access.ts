import type { RandomAccess } from '../../src/core/bytes.ts'

/** Bytes in memory as a file that can be read at any place. */
export function randomAccess(bytes: Uint8Array): RandomAccess {
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    if (offset + length > bytes.length) throw new RangeError('Past the end')
    return bytes.subarray(offset, offset + length)
  }
  return {
    sizeBytes: bytes.length,
    read,
    // Small odd chunks, so that a reader which counts on whole blocks is found out.
    stream: async function* (offset, length) {
      for (let at = 0; at < length; at += 777) yield bytes.subarray(offset + at, offset + Math.min(at + 777, length))
    },
    close: async () => {},
  }
}
