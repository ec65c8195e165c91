import { fileURLToPath } from 'node:url'
import type { RandomAccess } from '../src/core/bytes.ts'
import { verify } from '../src/core/digest.ts'
import { openFile } from '../src/core/file-access.ts'
import { maskUrl } from '../src/core/http.ts'
import type { RemoteFile } from '../src/core/remote-file.ts'
import { BuildError } from '../src/core/errors.ts'
import { ByteReader } from '../src/core/byte-reader.ts'
import { download, request, type DownloadOptions } from './remote.ts'

/** A wheel's directory and metadata lie in its last bytes; this much serves most wheels with one request. */
const TAIL_BYTES = 1 << 17

/**
 * Opens remote files where they lie, without keeping them: the tail is read by range requests, and the whole passes
 * through once.
 *
 * What `read` gives is unproven. A `stream` from the start passes all of the file through its hash, also what lies behind
 * the part that was asked for, and fails at its end when the file is not the one that was locked: so a consumer must
 * not publish what it made before the stream has ended.
 */
export function makeOpenDirect(options: DownloadOptions): (file: RemoteFile) => Promise<RandomAccess> {
  return async (file) => {
    if (file.url.startsWith('file:')) {
      const local = await openFile(fileURLToPath(file.url))
      return {
        ...local,
        stream: (offset, length) => (offset === 0 ? provenStart(file, length, options) : local.stream(offset, length)),
      }
    }
    const tailOffset = Math.max(0, file.sizeBytes - TAIL_BYTES)
    let tail: Promise<Buffer> | undefined
    const readRange = async (offset: number, length: number): Promise<Buffer> => {
      const reader = new ByteReader(await request(file, offset, options, length))
      try {
        return await reader.take(length)
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        throw new BuildError('NETWORK_FAILED', `A part of the file was cut short: ${maskUrl(file.url)}`, {
          cause: error,
        })
      } finally {
        await reader.close()
      }
    }
    return {
      sizeBytes: file.sizeBytes,
      read: async (offset, length) => {
        if (offset < 0 || offset + length > file.sizeBytes) throw new RangeError('Read past the end of a remote file')
        if (offset < tailOffset) return readRange(offset, length)
        tail ??= readRange(tailOffset, file.sizeBytes - tailOffset)
        return (await tail).subarray(offset - tailOffset, offset - tailOffset + length)
      },
      stream: (offset, length) =>
        offset === 0 ? provenStart(file, length, options) : rangeStream(readRange, offset, length),
      close: async () => {},
    }
  }
}

/** The first bytes of a file, while all of it is proven. */
async function* provenStart(file: RemoteFile, length: number, options: DownloadOptions): AsyncGenerator<Uint8Array> {
  const expected = { digest: `sha256:${file.sha256}`, size: file.sizeBytes } as const
  let left = length
  for await (const chunk of verify(download(file, options), expected, maskUrl(file.url))) {
    if (left > 0) yield chunk.subarray(0, left)
    left -= chunk.length
  }
}

async function* rangeStream(
  read: (offset: number, length: number) => Promise<Buffer>,
  offset: number,
  length: number,
): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < length; done += TAIL_BYTES)
    yield await read(offset + done, Math.min(TAIL_BYTES, length - done))
}
