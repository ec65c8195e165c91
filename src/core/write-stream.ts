import type { FileHandle } from 'node:fs/promises'
import { writeAll } from './atomic-file.ts'
import { gathered } from './bytes.ts'

/**
 * Writes a stream to a file at its present end. Done with each chunk when it asks for the next, so the stream may be
 * opened with `reuse`.
 *
 * @param onBytes called with the bytes so far
 * @returns how many bytes there were
 */
export async function writeStream(
  file: FileHandle,
  stream: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void = () => {},
): Promise<number> {
  let totalBytes = 0
  for await (const chunk of gathered(stream)) {
    await writeAll(file, chunk)
    totalBytes += chunk.length
    onBytes(totalBytes)
  }
  return totalBytes
}
