import { statfs } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from 'oci-spec-types'
import { decodePercent } from '../src/core/percent.ts'
import { filePathOf } from '../src/core/file-url.ts'
import { verify } from '../src/core/digest.ts'
import { bytesAccess, collect, copied, type RandomAccess } from '../src/core/bytes.ts'
import { BuildError, isBuildError } from '../src/core/errors.ts'
import { openPath } from '../src/core/file-access.ts'
import { maskUrl, type Http, type HttpResponse } from '../src/core/http.ts'
import { LIMITS, makeLimiter, type Limiter } from '../src/core/limits.ts'
import { silent, startTask, type Report } from '../src/core/progress.ts'
import type { RemoteFile } from '../src/core/remote-file.ts'
import { putResumable } from '../src/store/partial.ts'
import type { Store } from '../src/store/store.ts'

/** How remote files are fetched. */
export interface RemoteOptions {
  readonly http: Http
  readonly store: Store
  /** Headers for a URL, such as an index's credentials; never sent to another origin. */
  readonly headers?: ((url: string) => Promise<Readonly<Record<string, string>>>) | undefined
  /** Downloads at once, shared with whatever else downloads; 4 unless given. */
  readonly limit?: Limiter | undefined
  readonly report?: Report | undefined
  readonly signal?: AbortSignal | undefined
  /** How often a download that was cut is taken up again without having got any further; 4 unless given. */
  readonly attempts?: number | undefined
  /** Milliseconds before the second try; doubled each time. */
  readonly pauseMs?: number | undefined
}

/** What fetching needs when nothing is kept. */
export type DownloadOptions = Omit<RemoteOptions, 'store' | 'limit'> & {
  /** The strong entity tag of what is fetched, where no digest is known: another one is another file. */
  readonly validator?: string | undefined
}

/** Where a file lies and how large it is; what it is may not be known. */
type Address = Pick<RemoteFile, 'url' | 'sizeBytes'>

/** Files from this size on are taken up by a later run where an earlier one was cut. */
const RESUMED_BYTES = 16 * 2 ** 20

/** From this size on a connection of its own is worth it. */
const BULK_BYTES = 4 << 20

/** From this size on it is worth to ask for room before: a smaller file finds out when it is written. */
const MEASURED_BYTES = 1 << 20

/** Room that a download leaves on the disk. */
const SPARE_BYTES = 64 * 2 ** 20

/**
 * Makes the `openRemote` of a {@link LayerContext}: fetches files into the store, each once, several at a time, and
 * opens them from there. What is opened has the size and sha256 that were asked for.
 */
export function makeOpenRemote(options: RemoteOptions): (file: RemoteFile) => Promise<RandomAccess> {
  const { store, limit = makeLimiter(LIMITS.downloads) } = options
  const running = new Map<Digest, Promise<void>>()
  const found = new Set<Digest>()
  const find = async (digest: Digest, file: RemoteFile): Promise<void> => {
    const fetching = running.get(digest) ?? limit(() => ensure(file, options))
    running.set(digest, fetching)
    try {
      await fetching
      found.add(digest)
    } finally {
      running.delete(digest)
    }
  }
  return async (file) => {
    const digest = `sha256:${file.sha256}` as const
    if (!found.has(digest)) await find(digest, file)
    try {
      return await store.openFile(digest)
    } catch (error) {
      // Somebody took it away since it was found: what was damaged, or was released.
      if (!isBuildError(error, 'FILE_UNREADABLE')) throw error
      await find(digest, file)
      return store.openFile(digest)
    }
  }
}

/**
 * Reads what a store keeps of a file once more: a copy that was damaged since is removed, so that the next build fetches it again.
 *
 * @throws BuildError STORE_CORRUPT when it was damaged
 */
export async function proveStored({ sha256, sizeBytes: size }: RemoteFile, store: Store): Promise<void> {
  const digest = `sha256:${sha256}` as const
  // What an index says of a file may be wrong as well, and then a sound copy has another size.
  const stored = await store.has(digest)
  if (stored !== size) return
  for await (const _ of store.blob({ digest, size })({ reuse: true }));
}

/** The most that is held of a file in memory. */
const MEMORY_BYTES = 64 << 20

/**
 * Makes an `openRemote` that keeps files in memory for as long as they are open, for builds that keep nothing.
 *
 * @throws BuildError NOT_SUPPORTED for a file that is too large for that
 */
export function makeOpenInMemory(
  options: DownloadOptions & { readonly limit: Limiter },
): (file: RemoteFile) => Promise<RandomAccess> {
  return async (file) => {
    const what = maskUrl(file.url)
    if (file.sizeBytes > MEMORY_BYTES) {
      throw new BuildError(
        'NOT_SUPPORTED',
        `A file of ${file.sizeBytes} bytes needs a store to be read from: ${what}`,
        {
          hint: 'Build without --no-store.',
        },
      )
    }
    const expected = { digest: `sha256:${file.sha256}`, size: file.sizeBytes } as const
    const fetched = options.limit(() =>
      collect(copied(verify(download(file, options), expected, what)), file.sizeBytes),
    )
    return bytesAccess(await fetched)
  }
}

async function ensure(file: RemoteFile, options: RemoteOptions): Promise<void> {
  const { store } = options
  const expected = { digest: `sha256:${file.sha256}`, size: file.sizeBytes } as const
  const isThere = async (): Promise<boolean> => (await store.has(expected.digest)) === expected.size
  options.signal?.throwIfAborted()
  if (await isThere()) return
  // Builds side by side fetch a file once: the others wait and find it.
  const work = async (hasWaited: boolean): Promise<void> => {
    if (!hasWaited || !(await isThere())) await fetchInto(store, file, options)
  }
  await store.alone(expected.digest, work, { signal: options.signal })
}

async function fetchInto(store: Store, file: RemoteFile, options: RemoteOptions): Promise<void> {
  const { report = silent } = options
  const expected = { digest: `sha256:${file.sha256}`, size: file.sizeBytes } as const
  if (file.sizeBytes >= MEASURED_BYTES) await checkSpace(store.folder, file)
  const name = fileName(file.url)
  const task = startTask(report, `download ${name}`, { totalBytes: file.sizeBytes, kind: 'download' })
  const onBytes = (done: number): void => task.bytes(done, file.sizeBytes)
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    let done = 0
    for await (const chunk of download(file, options)) {
      onBytes((done += chunk.length))
      yield chunk
    }
  }
  const what = maskUrl(file.url)
  try {
    if (file.sizeBytes < RESUMED_BYTES) await store.putProven(verify(counted(), expected, what), expected)
    else {
      const from = (offset: number): AsyncIterable<Uint8Array> => download(file, options, offset)
      await putResumable(store, { key: expected.digest, expected, what, from, onBytes })
    }
    task.end()
  } catch (error) {
    task.end('failed', error instanceof Error ? error.message : String(error))
    throw error
  }
}

/**
 * The bytes of a file from an offset on, taken up where they were cut. Neither size nor digest is proven here. The memory of a
 * chunk is used again when the next is asked for.
 */
export async function* download(file: Address, options: DownloadOptions, start = 0): AsyncGenerator<Uint8Array> {
  if (file.url.startsWith('file:')) {
    yield* openPath(filePathOf(file.url))({ offset: start, signal: options.signal })
    return
  }
  const { attempts = 4, pauseMs = 250 } = options
  let done = start
  for (let attempt = 1; ; attempt++) {
    const before = done
    // A request that gets no answer is the transport's to try again; here only bodies that break off are taken up.
    const body = await requestRest(file, done, options)
    try {
      for await (const chunk of body) {
        done += chunk.length
        yield chunk
      }
    } catch (error) {
      options.signal?.throwIfAborted()
      if (!isBrokenBody(error)) throw error
    }
    if (done >= file.sizeBytes) return
    // A server that gives some bytes each time is slow, not broken.
    if (done > before) attempt = 0
    else if (attempt >= attempts) {
      throw new BuildError('NETWORK_FAILED', `The download broke off ${attempts} times: ${maskUrl(file.url)}`, {
        data: { doneBytes: done, sizeBytes: file.sizeBytes },
      })
    }
    await sleep(pauseMs * 2 ** attempt, undefined, { signal: options.signal })
  }
}

/** The bytes of a file from an offset on. */
async function requestRest(
  file: Address,
  offset: number,
  options: DownloadOptions,
): Promise<AsyncIterable<Uint8Array>> {
  const isBulk = file.sizeBytes - offset >= BULK_BYTES
  const response = await ask(file, offset > 0 ? `bytes=${offset}-` : undefined, options, isBulk)
  if (offset > 0 && isPartAt(response, offset)) return response.body
  const { validator } = options
  const isOther = validator !== undefined && (response.header('etag') ?? validator) !== validator
  if (isOther) {
    await response.discard()
    throw new BuildError('DIGEST_MISMATCH', `The file was changed while it was downloaded: ${maskUrl(file.url)}`)
  }
  // The whole file once more: skip what is there already. `verify` sees it if it is another file now.
  if (response.status === 200) return skipBytes(response.body, offset)
  await response.discard()
  throw explainStatus(file, response.status)
}

/** Some bytes of a file; undefined from a server that gives whole files only. */
export async function requestRange(
  file: RemoteFile,
  offset: number,
  length: number,
  options: DownloadOptions,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const response = await ask(file, `bytes=${offset}-${offset + length - 1}`, options)
  if (isPartAt(response, offset)) return response.body
  await response.discard()
  if (response.status === 200) return undefined
  throw explainStatus(file, response.status)
}

async function ask(
  file: Address,
  range: string | undefined,
  { http, headers, signal, validator }: DownloadOptions,
  bulk = false,
): Promise<HttpResponse> {
  return http({
    url: file.url,
    headers: {
      ...(await headers?.(file.url)),
      ...(range === undefined ? {} : { range, ...(validator === undefined ? {} : { 'if-range': validator }) }),
      'accept-encoding': 'identity',
    },
    decode: false,
    bulk,
    signal,
  })
}

function isPartAt(response: HttpResponse, offset: number): boolean {
  const range = /^bytes (\d+)-/.exec(response.header('content-range') ?? '')
  return response.status === 206 && Number(range?.[1]) === offset
}

async function* skipBytes(stream: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<Uint8Array> {
  let skip = length
  for await (const chunk of stream) {
    if (skip < chunk.length) yield chunk.subarray(skip)
    skip = Math.max(0, skip - chunk.length)
  }
}

function explainStatus(file: Address, status: number): BuildError {
  const url = maskUrl(file.url)
  if (status === 401 || status === 403)
    return new BuildError('INDEX_DENIED', `Download refused with status ${status}: ${url}`, {
      hint: 'Check the credentials for this host.',
    })
  if (status === 404 || status === 410) {
    return new BuildError('WHEEL_NOT_FOUND', `The file is gone (status ${status}): ${url}`, {
      hint: 'The lock names a file that its host no longer has. Resolve again.',
    })
  }
  return new BuildError(
    status >= 500 || status === 429 ? 'INDEX_UNAVAILABLE' : 'INDEX_FAILED',
    `Download answered with status ${status}: ${url}`,
  )
}

/** Errors of Node's sockets and of node-fetch while a body is read. */
function isBrokenBody(error: unknown): boolean {
  if (isBuildError(error, 'NETWORK_FAILED')) return true
  if (!(error instanceof Error)) return false
  const { code } = error as { code?: unknown }
  return (
    typeof code === 'string' &&
    /^(?:ERR_STREAM_PREMATURE_CLOSE|ECONNRESET|ETIMEDOUT|EPIPE|ECONNREFUSED|UND_ERR_|ECONNABORTED)/.test(code)
  )
}

async function checkSpace(folder: string, file: RemoteFile): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize >= file.sizeBytes + SPARE_BYTES) return
  throw new BuildError(
    'DISK_FULL',
    `Not enough space in \`${folder}\` for a file of ${file.sizeBytes} bytes and ${SPARE_BYTES / 2 ** 20} MiB to spare: ${maskUrl(file.url)}`,
    {
      hint: 'Free some space, or point LAYERWRIGHT_CACHE at a larger disk.',
      data: { availableBytes: bavail * bsize, neededBytes: file.sizeBytes },
    },
  )
}

/** The last part of a URL's path, for people. */
export function fileName(url: string): string {
  const path = maskUrl(url).split('?')[0] ?? url
  return decodePercent(path.slice(path.lastIndexOf('/') + 1))
}
