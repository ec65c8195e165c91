import type { FileHandle } from 'node:fs/promises'

/** Bytes that are handed to the system at a time: a call for each 64 KiB from a socket costs more than the copy. */
const BATCH_BYTES = 1 << 20

/**
 * Writes a stream to a file at its present end; one batch is written while the next arrives.
 *
 * @param onBytes called with the bytes so far
 * @returns how many bytes there were
 */
export async function writeStream(
  file: FileHandle,
  stream: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void = () => {},
): Promise<number> {
  let batch: Uint8Array[] = []
  let batchBytes = 0
  let totalBytes = 0
  let writing: Promise<void> = Promise.resolve()
  try {
    for await (const chunk of stream) {
      batch.push(chunk)
      batchBytes += chunk.length
      totalBytes += chunk.length
      if (batchBytes < BATCH_BYTES) continue
      await writing
      writing = writeBatch(file, batch, batchBytes)
      // Waited for below; here only so that a failure does not count as unhandled meanwhile.
      writing.catch(() => {})
      onBytes(totalBytes)
      batch = []
      batchBytes = 0
    }
  } finally {
    // The file must not be closed under a write that still runs.
    await writing.catch(() => {})
  }
  await writing
  await writeBatch(file, batch, batchBytes)
  onBytes(totalBytes)
  return totalBytes
}

async function writeBatch(file: FileHandle, batch: readonly Uint8Array[], batchBytes: number): Promise<void> {
  let rest = batch
  let left = batchBytes
  while (left > 0) {
    const { bytesWritten } = await file.writev(rest)
    left -= bytesWritten
    // A single call may take less of it, silently, when the disk fills.
    if (left > 0) rest = skipBytes(rest, bytesWritten)
  }
}

function skipBytes(batch: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let left = count
  return batch.flatMap((chunk) => {
    const skipped = Math.min(left, chunk.length)
    left -= skipped
    return skipped === chunk.length ? [] : [chunk.subarray(skipped)]
  })
}
