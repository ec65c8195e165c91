import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Open, OpenOptions, RandomAccess } from './bytes.ts'
import { slabs } from './slabs.ts'

const CHUNK_BYTES = 1 << 18

/** Opens a file for reading at any place. */
export async function openFile(path: string): Promise<RandomAccess> {
  const file = await open(path, 'r')
  const { size } = await file.stat()
  const fill = async (buffer: Buffer, offset: number): Promise<Buffer> => {
    if (offset < 0 || offset + buffer.length > size) throw new RangeError(`Read past the end of \`${path}\``)
    let done = 0
    while (done < buffer.length) {
      const { bytesRead } = await file.read(buffer, done, buffer.length - done, offset + done)
      if (bytesRead === 0) throw new RangeError(`\`${path}\` became shorter while it was read`)
      done += bytesRead
    }
    return buffer
  }
  const read = (offset: number, length: number): Promise<Buffer> => fill(Buffer.allocUnsafe(length), offset)
  return {
    sizeBytes: size,
    read,
    async *stream(offset, length, { reuse = false } = {}) {
      const memory = reuse ? Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, length)) : undefined
      for (let done = 0; done < length; done += CHUNK_BYTES) {
        const count = Math.min(CHUNK_BYTES, length - done)
        yield await fill(memory?.subarray(0, count) ?? Buffer.allocUnsafe(count), offset + done)
      }
    },
    close: () => file.close(),
  }
}

/** A replayable stream over a file. */
export function openPath(path: string): Open {
  return (options = {}) =>
    options.reuse === true
      ? readReusing(path, options)
      : createReadStream(path, { start: options.offset ?? 0, highWaterMark: CHUNK_BYTES, signal: options.signal })
}

/** One buffer is read by the consumer while the other is filled. */
async function* readReusing(path: string, { offset = 0, signal }: OpenOptions): AsyncGenerator<Buffer> {
  const file = await open(path, 'r')
  const buffers = [slabs.take(), slabs.take()] as const
  let position = offset
  const fill = (index: 0 | 1): Promise<number> =>
    file.read(buffers[index], 0, slabs.bytes, position).then(({ bytesRead }) => bytesRead)
  let reading: Promise<number> = fill(0)
  try {
    for (let at: 0 | 1 = 0; ; at = at === 0 ? 1 : 0) {
      signal?.throwIfAborted()
      const count = await reading
      if (count === 0) break
      position += count
      reading = fill(at === 0 ? 1 : 0)
      // Waited for above or below; here only so that a failure does not count as unhandled meanwhile.
      reading.catch(() => {})
      yield buffers[at].subarray(0, count)
    }
  } finally {
    // The file must not be closed under a read that still runs.
    await reading.catch(() => {})
    await file.close()
  }
  for (const buffer of buffers) slabs.give(buffer)
}
