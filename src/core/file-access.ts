import { closeSync, createReadStream, openSync, readSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Open, OpenOptions, RandomAccess } from './bytes.ts'
import { SlabPool, slabs } from './slabs.ts'

const CHUNK_BYTES = 1 << 18

/** A file up to this size is read whole when it is opened: each read of a part would cost more than its bytes. */
const small = new SlabPool(1 << 17, 32)

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
  if (size <= small.bytes) {
    const slab = small.take()
    try {
      return smallAccess(await fill(slab.subarray(0, size), 0), () => small.give(slab))
    } finally {
      await file.close()
    }
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

/** @param giveBack called once nobody reads the memory any more */
function smallAccess(bytes: Buffer, giveBack: () => void): RandomAccess {
  let isOpen = true
  let streams = 0
  const part = (offset: number, length: number): Buffer => {
    if (!isOpen) throw new RangeError('A file is read that was closed')
    if (offset < 0 || offset + length > bytes.length) throw new RangeError('Read past the end')
    return bytes.subarray(offset, offset + length)
  }
  return {
    sizeBytes: bytes.length,
    read: async (offset, length) => Buffer.from(part(offset, length)),
    async *stream(offset, length, { reuse = false } = {}) {
      streams++
      if (length > 0) yield reuse ? part(offset, length) : Buffer.from(part(offset, length))
      streams--
    },
    close: async () => {
      // Where a stream was left in the middle somebody may still read what it gave.
      if (isOpen && streams === 0) giveBack()
      isOpen = false
    },
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

/** Reads the first bytes of a file into a space, blocking, until either ends. @returns how many they are */
export function readSmallFile(path: string, space: Uint8Array): number {
  const file = openSync(path, 'r')
  try {
    let done = 0
    for (let count = 1; count > 0 && done < space.length; done += count)
      count = readSync(file, space, done, space.length - done, null)
    return done
  } finally {
    closeSync(file)
  }
}
