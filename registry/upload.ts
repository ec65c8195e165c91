import { digestAlgorithm, type Descriptor, type Digest } from 'oci-spec-types'
import { verify } from '../src/core/digest.ts'
import { BuildError, isBuildError } from '../src/core/errors.ts'
import type { Open } from '../src/core/bytes.ts'
import { maskUrl, type HttpResponse } from '../src/core/http.ts'
import { isRetryableStatus } from '../src/core/net/retry.ts'
import type { RegistryRequest } from './connection.ts'
import { registryError, type RegistryError } from './errors.ts'
import { pause, type Patience } from './patience.ts'
import type { Remote } from './remote.ts'

/** A blob that is to be in a repository. */
export interface PushedBlob {
  readonly descriptor: Pick<Descriptor, 'digest' | 'size'>
  /** Replayable: a broken upload is sent again, from an offset where the registry kept the beginning. */
  readonly open: Open
}

/** How a blob got where it should be. */
export type PushOutcome = 'exists' | 'mounted' | 'uploaded'

/** Where a blob is pushed to. */
export interface UploadTarget {
  readonly remote: Remote
  readonly patience: Patience
  /** Tells whether the repository has a blob. */
  readonly has: (digest: Digest) => Promise<boolean>
  readonly signal?: AbortSignal | undefined
  /** Called with the bytes of the blob that were handed to the network so far. */
  readonly onBytes?: ((bytes: number) => void) | undefined
}

/** Where an upload stands. */
interface Session {
  readonly location: string
  /** Bytes that the registry has. */
  readonly offset: number
  /** The least a chunk must have, as the registry asked (`OCI-Chunk-Min-Length`). */
  readonly minChunk: number
  /** The most it may have (`OCI-Chunk-Max-Length`, which some proxies send). */
  readonly maxChunk: number | undefined
}

/** From this size on, one HEAD is cheaper than perhaps sending the blob a second time. */
const WORTH_A_HEAD_BYTES = 8 << 20
/** GHCR refuses PATCHes above this (416). */
const FIRST_CHUNK_BYTES = 4 << 20
const LEAST_CHUNK_BYTES = 64 << 10

/**
 * Uploads a blob: `POST`, then the whole in one `PUT`. What breaks is continued where the registry says it stands, else
 * begun anew; an acknowledgement that was lost is found by asking for the blob.
 *
 * @param started the answer of a mount that was not done: its upload location is used
 * @throws RegistryError; BuildError DIGEST_MISMATCH, SIZE_MISMATCH when the source gives other bytes
 * @see OCI distribution-spec, "Pushing blobs"
 */
export async function uploadBlob(target: UploadTarget, blob: PushedBlob, started?: HttpResponse): Promise<PushOutcome> {
  let session = started === undefined ? undefined : await readSession(target, started, 0)
  let shape: Shape = { chunkBytes: undefined, closesEmpty: false }
  for (let tries = 1; ; tries++) {
    target.signal?.throwIfAborted()
    const before = session?.offset ?? 0
    let problem: { readonly error: unknown; readonly status: number; readonly retryAfter: string | undefined }
    try {
      session ??= await startUpload(target)
      const response = await sendRest(target, blob, session, shape)
      if (isStored(response.status)) return await finish(response, blob)
      const retryAfter = response.header('retry-after')
      problem = { error: await failure(response, 'PUT'), status: response.status, retryAfter }
    } catch (error) {
      // A RegistryError here comes from starting the upload, which the transport has tried often enough.
      if (!isBuildError(error, 'NETWORK_FAILED')) throw error
      problem = { error, status: 0, retryAfter: undefined }
    }
    const { status, error } = problem
    if (status === 401 || status === 403) throw error
    // Done after all: the answer was lost, or somebody else pushed the same blob (Nexus and Artifactory then fail).
    if (await target.has(blob.descriptor.digest)) return 'exists'
    if (tries >= target.patience.policy.tries) throw error
    if (status === 413 || (status === 416 && shape.chunkBytes !== undefined)) {
      shape = { ...shape, chunkBytes: smallerChunk(shape.chunkBytes, blob.descriptor.size) }
      if ((shape.chunkBytes ?? 0) < LEAST_CHUNK_BYTES) throw error
      session = undefined
      continue
    }
    if (status === 400 && shape.chunkBytes !== undefined && !shape.closesEmpty) {
      shape = { ...shape, closesEmpty: true }
      session = undefined
      continue
    }
    if (status !== 0 && !isRetryableStatus(status) && !isSessionLost(error, status)) throw error
    session = session === undefined || isSessionLost(error, status) ? undefined : await resume(target, session, before)
    await pause(target.patience, tries, problem.retryAfter, target.signal)
  }
}

function smallerChunk(chunkBytes: number | undefined, size: number): number {
  const half = Math.ceil((chunkBytes ?? size) / 2)
  return chunkBytes === undefined ? Math.min(FIRST_CHUNK_BYTES, half) : half
}

/** Asks for an upload location: `POST /v2/<name>/blobs/uploads/`. */
async function startUpload(target: UploadTarget): Promise<Session> {
  const response = await send(target, { method: 'POST', path: '/blobs/uploads/', retry: true })
  if (response.status !== 202) throw await failure(response, 'POST')
  return readSession(target, response, 0)
}

/** Reads where an upload goes on from an answer, after `offset` bytes. */
async function readSession(target: UploadTarget, response: HttpResponse, offset: number): Promise<Session> {
  const location = response.header('location')
  await response.discard()
  if (location === undefined)
    throw new BuildError('REGISTRY_FAILED', `The registry names no upload location: ${maskUrl(response.url)}`)
  const number = (name: string): number => Number(response.header(name) ?? 0) || 0
  return {
    location: resolveLocation(location, response.url, target.remote.connection.origin),
    offset,
    minChunk: number('oci-chunk-min-length'),
    maxChunk: number('oci-chunk-max-length') || undefined,
  }
}

/** What is missing: in one PUT when nothing is there yet and nothing asks for chunks, else PATCHes and a closing PUT. */
async function sendRest(target: UploadTarget, blob: PushedBlob, session: Session, shape: Shape): Promise<HttpResponse> {
  const { size, digest } = blob.descriptor
  const limit = shape.chunkBytes ?? session.maxChunk
  if (session.offset === 0 && (limit === undefined || limit >= size)) {
    return send(target, {
      method: 'PUT',
      path: withDigest(session.location, digest),
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(size) },
      body: counting(wholeBody(blob), target, 0),
    })
  }
  let at = session
  const step = Math.max(limit ?? size, at.minChunk)
  // The last chunk goes with the closing PUT, which saves a request; some registries want that PUT empty, some do not.
  while (at.offset < size && (shape.closesEmpty || size - at.offset > step)) {
    const end = Math.min(size, at.offset + step)
    const response = await send(target, {
      method: 'PATCH',
      path: at.location,
      headers: chunkHeaders(at.offset, end),
      body: counting(partBody(blob, at.offset, end), target, at.offset),
    })
    // Amazon ECR answers with the range of the first chunk for ever: what was accepted is what was sent.
    if (!isStored(response.status)) return response
    at = { ...(await readSession(target, response, end)), minChunk: session.minChunk }
  }
  return send(target, {
    method: 'PUT',
    path: withDigest(at.location, digest),
    headers: at.offset === size ? { 'content-length': '0' } : chunkHeaders(at.offset, size),
    body: at.offset === size ? new Uint8Array(0) : counting(partBody(blob, at.offset, size), target, at.offset),
  })
}

function chunkHeaders(start: number, end: number): Record<string, string> {
  return {
    'content-type': 'application/octet-stream',
    'content-length': String(end - start),
    'content-range': `${start}-${end - 1}`,
  }
}

/** How a blob is cut into requests. */
interface Shape {
  /** Undefined: in one piece. */
  readonly chunkBytes: number | undefined
  /** Whether the closing PUT has no body. */
  readonly closesEmpty: boolean
}

/** Asks how far an upload came; undefined when it is not known any more. */
async function resume(target: UploadTarget, session: Session, before: number): Promise<Session | undefined> {
  let response: HttpResponse
  try {
    response = await send(target, { method: 'GET', path: session.location, retry: true })
  } catch (error) {
    if (isBuildError(error, 'NETWORK_FAILED')) return undefined
    throw error
  }
  const range = /^(?:bytes=)?0-(\d+)$/.exec(response.header('range')?.trim() ?? '')
  if ((response.status !== 204 && response.status !== 202) || response.header('location') === undefined) {
    await response.discard()
    return undefined
  }
  // `0-0` is how registries say both "nothing" and "one byte"; nothing is the far likelier, and safe to begin again from.
  const last = Number(range?.[1] ?? 0)
  const offset = last === 0 ? 0 : last + 1
  if (offset < before) {
    await response.discard()
    return undefined
  }
  const next = await readSession(target, response, offset)
  // A session that got nothing is as good as a new one, but some registries count the failed bytes: begin anew.
  return offset === 0 ? undefined : { ...next, minChunk: session.minChunk, maxChunk: session.maxChunk }
}

async function finish(response: HttpResponse, blob: PushedBlob): Promise<PushOutcome> {
  await response.discard()
  const stored = response.header('docker-content-digest')
  const { digest } = blob.descriptor
  if (stored !== undefined && stored.startsWith(digestAlgorithm(digest)) && stored !== digest)
    throw new BuildError(
      'DIGEST_MISMATCH',
      `The registry stored ${stored} instead of ${digest}: ${maskUrl(response.url)}`,
    )
  return 'uploaded'
}

function wholeBody({ open, descriptor }: PushedBlob): Open {
  return (options) => verify(open(options), descriptor, `the blob ${descriptor.digest}`)
}

/** Bytes `start` to `end` (not included); not proven here, the registry proves the whole at the end. */
function partBody({ open }: PushedBlob, start: number, end: number): Open {
  return async function* (options = {}) {
    let left = end - start
    for await (const chunk of open({ ...options, offset: start })) {
      yield chunk.length > left ? chunk.subarray(0, left) : chunk
      left -= chunk.length
      if (left <= 0) return
    }
    throw new BuildError('SIZE_MISMATCH', `The source of a blob ended ${left} bytes early`)
  }
}

function counting(open: Open, { onBytes }: UploadTarget, start: number): Open {
  if (onBytes === undefined) return open
  return async function* (options) {
    let sent = start
    for await (const chunk of open(options)) {
      yield chunk
      sent += chunk.length
      onBytes(sent)
    }
  }
}

function send(target: UploadTarget, request: Omit<RegistryRequest, 'scopes'>): Promise<HttpResponse> {
  return target.remote.send({ retry: false, ...request })
}

function failure(response: HttpResponse, method: string): Promise<RegistryError> {
  return registryError(response, { method, what: 'push a blob' })
}

function isStored(status: number): boolean {
  // Not 200: a server that answers 200 to everything is no registry.
  return status === 201 || status === 202 || status === 204
}

/** The registry forgot the upload, has other bytes of it than we think, or got damaged ones. */
function isSessionLost(error: unknown, status: number): boolean {
  if (status === 404 || status === 416) return true
  const codes = isRegistryError(error) ? error.wireCodes : []
  return codes.some((code) =>
    /^(BLOB_UPLOAD_UNKNOWN|BLOB_UPLOAD_INVALID|RANGE_INVALID|SIZE_INVALID|DIGEST_INVALID)$/.test(code),
  )
}

function isRegistryError(error: unknown): error is RegistryError {
  return error instanceof BuildError && error.name === 'RegistryError'
}

/**
 * An upload location as a whole URL, every byte of its query kept.
 *
 * A registry behind a proxy that ends TLS often names itself with plain http, or loses its port: then its own origin is
 * meant, and going there in the clear would be wrong in any case.
 */
export function resolveLocation(location: string, base: string, origin: string): string {
  const url = new URL(location, base)
  url.hash = ''
  const own = new URL(origin)
  const isDowngraded = url.protocol === 'http:' && own.protocol === 'https:'
  const hasLostPort = url.port === '' && own.port !== ''
  if (url.hostname === own.hostname && (isDowngraded || hasLostPort)) {
    url.protocol = own.protocol
    url.port = own.port
  }
  return url.href
}

function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`
}

/** Whether to make sure that a blob is absent before it is sent. */
export function isWorthAHead(blob: PushedBlob): boolean {
  return blob.descriptor.size >= WORTH_A_HEAD_BYTES
}
