/** A stream of bytes that may be opened any number of times; each call gives a fresh stream from the start. */
export type Open = (options?: OpenOptions) => AsyncIterable<Uint8Array>

/** How a stream is opened. */
export interface OpenOptions {
  readonly signal?: AbortSignal | undefined
  /** Bytes to skip from the start; 0 unless given. */
  readonly offset?: number | undefined
}

/** A byte range that can be read at any place: a file, or a remote file by range requests. Close it when done. */
export interface RandomAccess {
  readonly sizeBytes: number
  /** Reads exactly `length` bytes at `offset`. @throws RangeError past the end */
  read(offset: number, length: number): Promise<Uint8Array>
  /** Streams `length` bytes from `offset`. */
  stream(offset: number, length: number): AsyncIterable<Uint8Array>
  close(): Promise<void>
}

/**
 * Collects a stream into one array.
 *
 * @param limitBytes refuses more than this, so that a hostile body cannot fill the memory
 * @throws RangeError when the stream is longer
 */
export async function collect(stream: AsyncIterable<Uint8Array>, limitBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream) {
    size += chunk.length
    if (size > limitBytes) throw new RangeError(`More than ${limitBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, size)
}

/** A replayable stream over bytes in memory. */
export function openBytes(bytes: Uint8Array): Open {
  return async function* (options = {}) {
    const rest = bytes.subarray(options.offset ?? 0)
    if (rest.length > 0) yield rest
  }
}
