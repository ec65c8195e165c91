import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Open, RandomAccess } from './bytes.ts'

const CHUNK_BYTES = 1 << 18

/** Opens a file for reading at any place. */
export async function openFile(path: string): Promise<RandomAccess> {
  const file = await open(path, 'r')
  const { size } = await file.stat()
  const read = async (offset: number, length: number): Promise<Buffer> => {
    if (offset < 0 || offset + length > size) throw new RangeError(`Read past the end of \`${path}\``)
    const buffer = Buffer.allocUnsafe(length)
    let done = 0
    while (done < length) {
      const { bytesRead } = await file.read(buffer, done, length - done, offset + done)
      if (bytesRead === 0) throw new RangeError(`\`${path}\` became shorter while it was read`)
      done += bytesRead
    }
    return buffer
  }
  return {
    sizeBytes: size,
    read,
    async *stream(offset, length) {
      for (let done = 0; done < length; done += CHUNK_BYTES) {
        yield await read(offset + done, Math.min(CHUNK_BYTES, length - done))
      }
    },
    close: () => file.close(),
  }
}

/** A replayable stream over a file. */
export function openPath(path: string): Open {
  return (options = {}) =>
    createReadStream(path, { start: options.offset ?? 0, highWaterMark: CHUNK_BYTES, signal: options.signal })
}
