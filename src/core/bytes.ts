import { batches } from './slabs.ts'

/** A stream of bytes that may be opened any number of times; each call gives a fresh stream from the start. */
export interface Open {
  (options?: OpenOptions): AsyncIterable<Uint8Array>
  /**
   * Whether whoever sends the bytes of this to a place that compares them with their digest need not do so before: they are
   * compared while they come, or were hashed by this process when it wrote them.
   */
  readonly isProven?: boolean
}

/** The same source, whose bytes are proven in any case. */
export function proven(open: Open): Open {
  return Object.assign((options?: OpenOptions) => open(options), { isProven: true })
}

/** How a stream is opened. */
export interface OpenOptions {
  readonly signal?: AbortSignal | undefined
  /** Bytes to skip from the start; 0 unless given. */
  readonly offset?: number | undefined
  /**
   * Whether the consumer is done with a chunk when it asks for the next, so that a source may use the same memory again.
   * A source that knows nothing of this is right, too.
   */
  readonly reuse?: boolean | undefined
  /** Whether the consumer compares all of it with its digest: a source that would do so, too, need not. */
  readonly isVerified?: boolean | undefined
}

/** A byte range that can be read at any place: a file, or a remote file by range requests. Close it when done. */
export interface RandomAccess {
  readonly sizeBytes: number
  /** Reads exactly `length` bytes at `offset`. @throws RangeError past the end */
  read(offset: number, length: number): Promise<Uint8Array>
  /** Streams `length` bytes from `offset`. A source that knows nothing of `reuse` is right, too. */
  stream(offset: number, length: number, options?: Pick<OpenOptions, 'reuse'>): AsyncIterable<Uint8Array>
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

/**
 * The same contents in one piece of memory of their own, for what is kept for long: a small buffer comes from a piece of Node's
 * (8 KiB on Node 20, 64 KiB on 24), which is held as long as any buffer in it is.
 */
export function packedTogether(contents: ReadonlyMap<string, Uint8Array>): Map<string, Buffer> {
  const memory = Buffer.allocUnsafeSlow([...contents.values()].reduce((sum, { length }) => sum + length, 0))
  let at = 0
  const place = (bytes: Uint8Array): Buffer => {
    memory.set(bytes, at)
    return memory.subarray(at, (at += bytes.length))
  }
  return new Map([...contents].map(([name, bytes]) => [name, place(bytes)]))
}

/** Copies of chunks, for consumers that keep them although their source uses its memory again. */
export async function* copied(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) yield Uint8Array.from(chunk)
}

/** A chunk of this size is worth a system call of its own. */
const LARGE_BYTES = batches.bytes

/**
 * The same bytes in chunks that are worth a system call each: small ones are gathered by copying. Is done with each chunk
 * when it asks for the next, and overwrites its own, too: both sides of it are as with `reuse`.
 */
export async function* gathered(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let batch: Buffer | undefined
  let filled = 0
  for await (const chunk of stream) {
    if (filled > 0 && filled + chunk.length > LARGE_BYTES) {
      if (batch !== undefined) yield batch.subarray(0, filled)
      filled = 0
    }
    if (chunk.length >= LARGE_BYTES) {
      yield chunk
      continue
    }
    batch ??= batches.take()
    batch.set(chunk, filled)
    filled += chunk.length
  }
  if (batch === undefined) return
  if (filled > 0) yield batch.subarray(0, filled)
  batches.give(batch)
}

/** A replayable stream over bytes in memory. */
export function openBytes(bytes: Uint8Array): Open {
  return async function* (options = {}) {
    const rest = bytes.subarray(options.offset ?? 0)
    if (rest.length > 0) yield rest
  }
}

/** Bytes in memory, for reading at any place. */
export function bytesAccess(bytes: Buffer): RandomAccess {
  const read = (offset: number, length: number): Buffer => {
    if (offset < 0 || offset + length > bytes.length) throw new RangeError('Read past the end')
    return bytes.subarray(offset, offset + length)
  }
  return {
    sizeBytes: bytes.length,
    read: async (offset, length) => read(offset, length),
    async *stream(offset, length) {
      yield read(offset, length)
    },
    close: async () => {},
  }
}

/** The same bytes as a buffer, without a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
