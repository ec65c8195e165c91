import { createGunzip } from 'node:zlib'
import { Readable } from 'node:stream'
import type { Descriptor } from 'oci-spec-types'
import { BuildError, isBuildError } from '../src/core/errors.ts'
import { maskUrl, type HttpResponse } from '../src/core/http.ts'
import { copied, type Open, type OpenOptions } from '../src/core/bytes.ts'
import { pause, type Patience } from './patience.ts'

/** How one blob is fetched. */
export interface Download {
  /** Sends the GET. Throws for any status but 200, 206, 416. */
  readonly get: (part: Part) => Promise<HttpResponse>
  readonly descriptor: Pick<Descriptor, 'digest' | 'size'>
  readonly patience: Patience
}

/** What a GET asks for. */
export interface Part {
  /** Absent, or a header with the range. */
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal | undefined
  readonly bulk: boolean
}

/** From this size on, a connection of its own is worth its beginning. */
const BULK_BYTES = 4 << 20

/**
 * The bytes of a blob, exactly `descriptor.size` of them, however often the connection breaks on the way.
 *
 * A cut body goes on where it stopped by a Range request; a server that ignores or misreads the range is read from the
 * start and what is already delivered is skipped. The digest is not checked here: the consumer verifies.
 *
 * @throws BuildError SIZE_MISMATCH, NETWORK_FAILED after several tries without any progress
 */
export function openDownload(download: Download): Open {
  // A second opening after a mismatch reads `Content-Encoding: gzip` the other way (some stores mislabel gzip layers).
  let openings = 0
  return (options = {}) => readResuming(download, options, openings++ % 2 === 1)
}

async function* readResuming(
  download: Download,
  options: OpenOptions,
  prefersDecoded: boolean,
): AsyncGenerator<Uint8Array> {
  const { descriptor, patience } = download
  const { size } = descriptor
  const { signal } = options
  let offset = options.offset ?? 0
  let tries = 0
  let asksRange = true
  if (size === 0 || offset >= size) return
  for (;;) {
    const start = offset
    let failure: unknown
    try {
      // A closed range: open-ended ones get 416 from some registries.
      const headers = offset === 0 || !asksRange ? {} : { range: `bytes=${offset}-${size - 1}` }
      const bulk = options.reuse === true && size - offset >= BULK_BYTES
      const response = await download.get({ headers, signal, bulk })
      // Where ranges do not work, the whole is asked for and what is known is skipped.
      if (response.status !== 206) asksRange = response.status !== 416 && asksRange
      for await (const chunk of bodyFrom(response, offset, size, prefersDecoded)) {
        offset += chunk.length
        if (offset > size) throw tooLong(response, size)
        yield chunk
      }
      if (offset === size) return
      failure = new BuildError(
        'NETWORK_FAILED',
        `The body ended after ${offset} of ${size} bytes: ${maskUrl(response.url)}`,
      )
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      if (!isBuildError(error, 'NETWORK_FAILED')) throw error
      failure = error
    }
    // Progress earns new tries: a bad line must not stop a large blob, a dead one must not be asked for ever.
    tries = offset > start ? 1 : tries + 1
    if (tries >= patience.policy.tries) throw failure
    await pause(patience, tries, undefined, signal)
  }
}

/** The body from `offset` on, whatever part the server chose to send. */
async function* bodyFrom(
  response: HttpResponse,
  offset: number,
  size: number,
  prefersDecoded: boolean,
): AsyncGenerator<Uint8Array> {
  if (response.status === 416) {
    await response.discard()
    throw new BuildError('NETWORK_FAILED', `The registry refuses to send the rest: ${maskUrl(response.url)}`)
  }
  const start = response.status === 206 ? rangeStart(response, size) : 0
  if (start === undefined || start > offset) {
    await response.discard()
    throw new BuildError('NETWORK_FAILED', `The registry sent another part than asked for: ${maskUrl(response.url)}`)
  }
  yield* skip(decoded(response, size, prefersDecoded), offset - start)
}

/** `bytes 100-199/200` -> 100; undefined when it is not about a blob of this size. */
function rangeStart(response: HttpResponse, size: number): number | undefined {
  const match = /^bytes\s+(\d+)-(\d+)\/(\d+|\*)$/i.exec(response.header('content-range')?.trim() ?? '')
  if (match === null) return undefined
  const [, first, last, total] = match
  if (total !== '*' && Number(total) !== size) return undefined
  return Number(last) < size && Number(first) <= Number(last) ? Number(first) : undefined
}

async function* skip(stream: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  let left = count
  for await (const chunk of stream) {
    if (left >= chunk.length) left -= chunk.length
    else {
      yield left === 0 ? chunk : chunk.subarray(left)
      left = 0
    }
  }
}

/** Undoes a transfer's gzip, but not the gzip of a layer that a store calls `Content-Encoding: gzip`. */
function decoded(response: HttpResponse, size: number, prefersDecoded: boolean): AsyncIterable<Uint8Array> {
  const encoding = response.header('content-encoding')?.trim().toLowerCase()
  if ((encoding !== 'gzip' && encoding !== 'x-gzip') || response.status === 206) return response.body
  const length = response.header('content-length')
  const isRaw = length === undefined ? !prefersDecoded : Number(length) === size
  return isRaw ? response.body : gunzip(response.body)
}

async function* gunzip(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const source = Readable.from(copied(body))
  const stream = createGunzip()
  source.on('error', (error) => stream.destroy(error))
  try {
    yield* source.pipe(stream)
  } finally {
    source.destroy()
  }
}

function tooLong(response: HttpResponse, size: number): BuildError {
  return new BuildError('SIZE_MISMATCH', `The body has more than ${size} bytes: ${maskUrl(response.url)}`)
}
