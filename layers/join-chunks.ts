/**
 * Gathers small chunks into larger ones, so that whoever is next is not woken for ten bytes.
 *
 * Chunks of at least the given size pass as they are, without a copy.
 */
export async function* joinChunks(stream: AsyncIterable<Uint8Array>, size = 1 << 16): AsyncGenerator<Uint8Array> {
  let pending: Uint8Array[] = []
  let pendingBytes = 0
  const flush = function* (): Generator<Uint8Array> {
    if (pendingBytes > 0) yield Buffer.concat(pending, pendingBytes)
    pending = []
    pendingBytes = 0
  }
  for await (const chunk of stream) {
    if (chunk.length >= size) {
      yield* flush()
      yield chunk
      continue
    }
    pending.push(chunk)
    pendingBytes += chunk.length
    if (pendingBytes >= size) yield* flush()
  }
  yield* flush()
}
