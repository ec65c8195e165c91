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
      if (writer.add(chunk)) await writer.room()
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

  /** @returns whether a batch is full; then `room` must be awaited before the next chunk */
  add(chunk: Uint8Array): boolean {
    this.#batch.push(chunk)
    this.#batchBytes += chunk.length
    return this.#batchBytes >= BATCH_BYTES
  }

  async room(): Promise<void> {
    await this.#writing
    this.#writing = this.#write()
    // Looked at by the next `room` or `flush`; until then it must not count as unhandled.
    this.#writing.catch(() => {})
  }

  async flush(): Promise<void> {
    await this.#writing
    if (this.#batchBytes > 0) await this.#write()
  }

  async #write(): Promise<void> {
    let batch = this.#batch
    const start = this.#offset
    const length = this.#batchBytes
    this.#batch = []
    this.#batchBytes = 0
    this.#offset += length
    // A single write may take less, silently, when the disk fills.
    for (let done = 0; done < length;) {
      const { bytesWritten } = await this.#file.writev(batch, start + done)
      done += bytesWritten
      if (done < length) batch = dropBytes(batch, bytesWritten)
    }
  }
}

function dropBytes(pieces: readonly Uint8Array[], count: number): Uint8Array[] {
  let rest = count
  return pieces.flatMap((piece) => {
    const kept = piece.subarray(Math.min(rest, piece.length))
    rest -= piece.length - kept.length
    return kept.length === 0 ? [] : [kept]
  })
}
