import { mkdtemp, rm } from 'node:fs/promises'
import { createWriteStream } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { RandomAccess } from '../../core/bytes.ts'
import { BuildError } from '../../core/errors.ts'
import { openFile } from '../../core/file-access.ts'
import { maskUrl, type Http, type HttpResponse } from '../../core/http.ts'
import { indexError } from './index-error.ts'
import { FIRST_TAIL_BYTES } from './wheel-tail.ts'

/** What is needed to read parts of a file over HTTP. */
export interface RemoteAccess {
  readonly http: Http
  /** Headers for a URL, such as `authorization`. */
  readonly headers: (url: string) => Promise<Readonly<Record<string, string>>>
  readonly signal?: AbortSignal | undefined
}

/**
 * Opens a remote file for reading at any place, by one range request for its end and one for each read before that.
 *
 * A server that knows no ranges sends the whole file, which then goes through a temporary file.
 *
 * @throws BuildError INDEX_FAILED, INDEX_DENIED, INDEX_UNAVAILABLE
 */
export async function openRemoteWheel(url: string, access: RemoteAccess): Promise<RandomAccess> {
  const response = await get(url, `bytes=-${FIRST_TAIL_BYTES}`, access)
  if (response.status === 200) return spool(response, url)
  const { sizeBytes, offset, bytes: tail } = await readRange(response, FIRST_TAIL_BYTES, url)
  if (offset + tail.length !== sizeBytes) throw wrongRange(url)
  const read = async (start: number, length: number): Promise<Uint8Array> => {
    if (start < 0 || length < 0 || start + length > sizeBytes)
      throw new RangeError(`Read past the end of ${maskUrl(url)}`)
    if (start >= offset) return tail.subarray(start - offset, start - offset + length)
    if (length === 0) return Buffer.alloc(0)
    // What the tail holds is not asked for again.
    const missing = Math.min(length, offset - start)
    const range = await readRange(await get(url, `bytes=${start}-${start + missing - 1}`, access), missing, url)
    if (range.offset !== start || range.bytes.length !== missing) throw wrongRange(url)
    return missing === length ? range.bytes : Buffer.concat([range.bytes, tail.subarray(0, length - missing)])
  }
  return {
    sizeBytes,
    read,
    async *stream(start, length) {
      yield await read(start, length)
    },
    close: async () => {},
  }
}

async function get(url: string, range: string, { http, headers, signal }: RemoteAccess): Promise<HttpResponse> {
  const response = await http({ url, headers: { ...(await headers(url)), range }, signal, decode: false })
  if (response.status === 206 || response.status === 200) return response
  await response.discard()
  throw indexError(response.status, url)
}

interface Range {
  readonly sizeBytes: number
  readonly offset: number
  readonly bytes: Buffer
}

async function readRange(response: HttpResponse, limitBytes: number, url: string): Promise<Range> {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.header('content-range') ?? '')
  if (response.status !== 206 || match === null) {
    await response.discard()
    throw wrongRange(url)
  }
  const [offset = 0, last = 0, sizeBytes = 0] = match.slice(1).map(Number)
  const bytes = await response.bytes(limitBytes)
  if (bytes.length !== last - offset + 1) throw wrongRange(url)
  return { sizeBytes, offset, bytes }
}

function wrongRange(url: string): BuildError {
  return new BuildError('INDEX_FAILED', `The server sent another range than was asked for: ${maskUrl(url)}`)
}

async function spool(response: HttpResponse, url: string): Promise<RandomAccess> {
  const folder = await mkdtemp(join(tmpdir(), 'layerwright-wheel-'))
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
  try {
    const path = join(folder, 'wheel')
    await pipeline(response.body, createWriteStream(path))
    const file = await openFile(path)
    const close = async (): Promise<void> => {
      try {
        await file.close()
      } finally {
        await remove()
      }
    }
    return { ...file, close }
  } catch (cause) {
    await remove()
    throw cause instanceof BuildError
      ? cause
      : new BuildError('INDEX_FAILED', `The file could not be read: ${maskUrl(url)}`, { cause })
  }
}
