import { open, type FileHandle } from 'node:fs/promises'

const BATCH_BYTES = 1 << 20

/**
 * Adds a stream to the end of a file, writing while the next bytes arrive.
 *
 * Sockets give 64 KiB at a time; a write for each would spend more time in hand-overs than in writing. At most two
 * batches of 1 MiB are in memory.
 *
 * @param offset  the file's size
 * @param seen  is shown every chunk that will be written
 * @returns the file's new size. When the stream fails, what came before is written, then the error is thrown.
 */
export async function appendToFile(
  path: string,
  offset: number,
  stream: AsyncIterable<Uint8Array>,
  seen: (chunk: Uint8Array) => void,
): Promise<void> {
  const file = await open(path, 'r+')
  const writer = new BatchWriter(file, offset)
  try {
    for await (const chunk of stream) {
      seen(chunk)
      await writer.add(chunk)
    }
  } finally {
    try {
      await writer.flush()
    } finally {
      await file.close()
    }
  }
}

class BatchWriter {
  readonly #file: FileHandle
  #offset: number
  #batch: Uint8Array[] = []
  #batchBytes = 0
  #writing: Promise<void> = Promise.resolve()

  constructor(file: FileHandle, offset: number) {
    this.#file = file
    this.#offset = offset
  }

  async add(chunk: Uint8Array): Promise<void> {
    this.#batch.push(chunk)
    this.#batchBytes += chunk.length
    if (this.#batchBytes < BATCH_BYTES) return
    await this.#writing
    this.#writing = this.#write()
    // Looked at by the next `add` or `flush`; until then it must not count as unhandled.
    this.#writing.catch(() => {})
  }

  async flush(): Promise<void> {
    await this.#writing
    if (this.#batchBytes > 0) await this.#write()
  }

  async #write(): Promise<void> {
    const batch = Buffer.concat(this.#batch, this.#batchBytes)
    this.#batch = []
    this.#batchBytes = 0
    const start = this.#offset
    this.#offset += batch.length
    // A single write may take less, silently, when the disk fills.
    for (let done = 0; done < batch.length;) {
      const { bytesWritten } = await this.#file.write(batch, done, batch.length - done, start + done)
      done += bytesWritten
    }
  }
}
