import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { AlignedBlocks, BLOCK_BYTES } from './aligned-blocks.ts'
import { copyInto } from './bytes.ts'
import { systemErrorCode } from './errors.ts'
import { disk } from './limits.ts'
import { Pace } from './pace.ts'
import { writeStream } from './write-stream.ts'

const blocks = new AlignedBlocks()

/** How a file is opened past the cache; given by tests. */
export type OpenPast = (file: FileHandle) => Promise<FileHandle | undefined>

/**
 * Writes a stream to a new file, past the system's cache where the disk keeps up (`O_DIRECT`), for what nobody reads soon. The
 * next block is filled while one is written.
 *
 * Through the cache, each gigabyte takes as much memory of the system as it has, a page at a time, and pushes out what
 * others read: 0.2 CPU seconds where the memory was used before, 1.4 in a virtual machine whose host lends it when it is
 * first touched; past it 0.3. A slow disk, and a file system that knows nothing of it, get what the cache is for.
 *
 * Done with each chunk when it asks for the next, so the stream may be opened with `reuse`.
 *
 * @param file  empty, and written by nobody else
 * @returns how many bytes there were
 * @see open(2), O_DIRECT
 */
export async function writePastCache(
  file: FileHandle,
  stream: AsyncIterable<Uint8Array>,
  openPast: OpenPast = openDirect,
): Promise<number> {
  const past = await openPast(file)
  if (past === undefined) return writeStream(file, stream)
  const writer = new BlockWriter(file, past)
  try {
    for await (const chunk of stream) await writer.write(chunk)
    return await writer.end()
  } finally {
    await writer.close()
  }
}

/** The same file once more; undefined where that cannot be. */
async function openDirect(file: FileHandle): Promise<FileHandle | undefined> {
  // Linux alone has the flag, and the path.
  if ((constants.O_DIRECT as number | undefined) === undefined) return undefined
  return open(`/proc/self/fd/${file.fd}`, constants.O_WRONLY | constants.O_DIRECT).catch(() => undefined)
}

/** Gathers blocks and writes each at its place, one way or the other. */
class BlockWriter {
  readonly #file: FileHandle
  #past: FileHandle | undefined
  #block: Buffer | undefined
  #filled = 0
  /** Where the present block begins in the file. */
  #position = 0
  readonly #pace = new Pace()
  #writing: Promise<void> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined

  constructor(file: FileHandle, past: FileHandle) {
    this.#file = file
    this.#past = past
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length;) {
      this.#block ??= blocks.take()
      const part = chunk.subarray(at, at + BLOCK_BYTES - this.#filled)
      copyInto(this.#block, part, this.#filled)
      this.#filled += part.length
      at += part.length
      if (this.#filled === BLOCK_BYTES) await this.#flush(this.#block)
    }
  }

  /** Writes what is left. @returns the size of the file */
  async end(): Promise<number> {
    await this.#settled()
    // Less than a block cannot go past the cache.
    if (this.#block !== undefined) await this.#writeThrough(this.#block.subarray(0, this.#filled), this.#position)
    return this.#position + this.#filled
  }

  /** Gives everything back, whatever happened; the file itself stays open. */
  async close(): Promise<void> {
    await this.#writing
    if (this.#block !== undefined) blocks.give(this.#block)
    await this.#past?.close()
  }

  async #flush(block: Buffer): Promise<void> {
    // One at a time: file systems let no other write of a file in while it grows.
    await this.#pace.wait(() => this.#settled())
    const position = this.#position
    this.#position += BLOCK_BYTES
    this.#filled = 0
    const past = this.#past
    // The cache hides a disk that is slower than what writes to it.
    if (this.#pace.isSlow() || past === undefined || !blocks.has(block)) return this.#writeThrough(block, position)
    this.#block = undefined
    this.#writing = this.#writePast(past, block, position)
      .catch((error: unknown) => {
        this.#failure = { error }
      })
      .finally(() => blocks.give(block))
  }

  async #settled(): Promise<void> {
    await this.#writing
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async #writePast(past: FileHandle, block: Buffer, position: number): Promise<void> {
    let done = 0
    try {
      done = (await disk(() => past.write(block, 0, BLOCK_BYTES, position))).bytesWritten
    } catch (error) {
      // A file system that opens such files and does not write them, or wants memory to lie otherwise.
      if (systemErrorCode(error) !== 'EINVAL') throw error
      this.#past = undefined
      await past.close()
    }
    // A full disk takes less than all of it, and says why to the next.
    if (done < BLOCK_BYTES) await this.#writeThrough(block.subarray(done), position + done)
  }

  async #writeThrough(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await disk(() => this.#file.write(bytes, done, bytes.length - done, position + done))
      done += bytesWritten
    }
  }
}
