import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { Decompress } from 'fzstd'
import { layerCompression } from 'oci-spec-types'
import { BuildError } from '../../core/errors.ts'

/**
 * The tar inside a layer's bytes.
 *
 * All members of a gzip stream are read; bytes after the last one that are no member are ignored, as gzip itself does.
 *
 * @throws BuildError NOT_SUPPORTED for a media type that is no layer, ARCHIVE_INVALID when the compressed data is broken
 */
export async function* decompressLayer(
  mediaType: string,
  blob: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const compression = layerCompression(mediaType)
  switch (compression) {
    case 'none':
      return yield* blob
    case 'gzip':
      return yield* gunzip(blob, signal)
    case 'zstd':
      return yield* unzstd(blob)
    case undefined:
      throw new BuildError('NOT_SUPPORTED', `Not a layer that can be unpacked: \`${mediaType}\``)
  }
}

async function* gunzip(blob: AsyncIterable<Uint8Array>, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip({ chunkSize: 256 * 1024 })
  const source = Readable.from(blob, { objectMode: false, ...(signal === undefined ? {} : { signal }) })
  source.on('error', (error) => gunzip.destroy(error))
  source.pipe(gunzip)
  try {
    yield* gunzip
    // Zeros after the last member end the stream early; what is left still counts for the blob's digest.
    source.unpipe(gunzip)
    source.resume()
    await finished(source)
  } catch (error) {
    throw broken(error)
  } finally {
    source.destroy()
    gunzip.destroy()
  }
}

async function* unzstd(blob: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const ready: Uint8Array[] = []
  const decompress = new Decompress((chunk) => void ready.push(chunk))
  for await (const chunk of blob) {
    push(decompress, chunk, false)
    yield* ready.splice(0)
  }
  push(decompress, new Uint8Array(0), true)
  yield* ready.splice(0)
}

function push(decompress: Decompress, chunk: Uint8Array, isLast: boolean): void {
  try {
    decompress.push(chunk, isLast)
  } catch (error) {
    throw broken(error)
  }
}

/** Errors of the source (network, verification) go by unchanged. */
function broken(error: unknown): unknown {
  const isOurs = error instanceof BuildError || (error instanceof Error && error.name === 'AbortError')
  if (isOurs) return error
  const isZlib = error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')
  const text = error instanceof Error ? error.message : String(error)
  if (!isZlib && error instanceof Error && 'syscall' in error) return error
  return new BuildError('ARCHIVE_INVALID', `The compressed data of the layer is broken: ${text}`, { cause: error })
}
