import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { Decompress } from 'fzstd'
import { decompressXz } from './xz/decompress.ts'

/** How archive members and indexes are compressed, named by their file name's ending; `''` is not at all. */
export type Compression = 'xz' | 'gz' | 'zst' | ''

/** The compression that a file name's ending tells, with the name before it; undefined for one we do not read. */
export function compressionOf(name: string): { readonly stem: string; readonly compression: Compression } | undefined {
  const match = /^(.*?)(?:\.(xz|gz|zst|bz2|lzma))?$/.exec(name)
  const ending = match?.[2] ?? ''
  if (ending === 'bz2' || ending === 'lzma') return undefined
  return { stem: match?.[1] ?? name, compression: ending as Compression }
}

/**
 * Decompresses a stream. The memory of a chunk may be used again when the next is asked for.
 *
 * @param limitBytes stops a decompression bomb
 * @throws RangeError when the data is damaged, cut off or larger than the limit
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  compression: Compression,
  limitBytes: number,
): AsyncGenerator<Uint8Array> {
  let sizeBytes = 0
  for await (const chunk of decompressed(source, compression)) {
    sizeBytes += chunk.length
    if (sizeBytes > limitBytes) throw new RangeError(`More than ${limitBytes} bytes when decompressed`)
    yield chunk
  }
}

function decompressed(source: AsyncIterable<Uint8Array>, compression: Compression): AsyncIterable<Uint8Array> {
  switch (compression) {
    case '':
      return source
    case 'gz':
      return gunzip(source)
    case 'xz':
      return decompressXz(source)
    case 'zst':
      return unzstd(source)
  }
}

async function* gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const input = Readable.from(source, { objectMode: false })
  const output = createGunzip({ chunkSize: 1 << 17 })
  input.on('error', (error) => output.destroy(error))
  try {
    for await (const chunk of input.pipe(output)) yield chunk as Uint8Array
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
      throw new RangeError(`Damaged gzip data (${error.message})`, { cause: error })
    }
    throw error
  } finally {
    input.destroy()
    output.destroy()
  }
}

async function* unzstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let ready: Uint8Array[] = []
  let isComplete = false
  const stream = new Decompress((chunk, isLast) => {
    if (chunk.length > 0) ready.push(chunk)
    isComplete = isLast === true
  })
  const push = (chunk: Uint8Array, isLast: boolean): void => {
    try {
      stream.push(chunk, isLast)
    } catch (error) {
      throw new RangeError(`Damaged zstd data (${error instanceof Error ? error.message : String(error)})`, {
        cause: error,
      })
    }
  }
  for await (const chunk of source) {
    push(chunk, false)
    yield* ready
    ready = []
  }
  push(new Uint8Array(0), true)
  yield* ready
  if (!isComplete) throw new RangeError('Damaged zstd data (cut off)')
}
