import type { Digest } from 'oci-spec-types'
import { BuildError, isBuildError } from '../src/core/errors.ts'
import { maskUrl, type HttpResponse } from '../src/core/http.ts'
import type { RegistryRequest } from './connection.ts'
import { registryError, type RegistryError } from './errors.ts'
import type { Patience } from './patience.ts'
import type { Remote } from './remote.ts'

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
export interface Session {
  readonly location: string
  /** Bytes that the registry has. */
  readonly offset: number
  /** The least a chunk must have, as the registry asked (`OCI-Chunk-Min-Length`). */
  readonly minChunk: number
  /** The most it may have (`OCI-Chunk-Max-Length`, which some proxies send). */
  readonly maxChunk: number | undefined
}

/** Asks for an upload location: `POST /v2/<name>/blobs/uploads/`. */
export async function startUpload(target: UploadTarget): Promise<Session> {
  const response = await send(target, { method: 'POST', path: '/blobs/uploads/', retry: true })
  if (response.status !== 202) throw await failure(response, 'POST')
  return readSession(target, response, 0)
}

/** Reads where an upload goes on from an answer, after `offset` bytes. */
export async function readSession(target: UploadTarget, response: HttpResponse, offset: number): Promise<Session> {
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

/** Asks how far an upload came; undefined when it is not known any more. */
export async function resume(target: UploadTarget, session: Session, before: number): Promise<Session | undefined> {
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

/** Sends one request of an upload; not again by itself unless asked, since most have a body that is gone. */
export function send(target: UploadTarget, request: Omit<RegistryRequest, 'scopes'>): Promise<HttpResponse> {
  return target.remote.send({ retry: false, ...request })
}

/** The error that an answer to an upload stands for. */
export function failure(response: HttpResponse, method: string): Promise<RegistryError> {
  return registryError(response, { method, what: 'push a blob' })
}

/** Whether an answer to a PUT says that the blob is there. Not 200: a server that says it to everything is no registry. */
export function isStored(status: number): boolean {
  return status === 201 || status === 202 || status === 204
}

/** The registry forgot the upload, has other bytes of it than we think, or got damaged ones. */
export function isSessionLost(error: unknown, status: number): boolean {
  if (status === 404 || status === 416) return true
  const codes = isRegistryError(error) ? error.wireCodes : []
  return codes.some((code) =>
    /^(BLOB_UPLOAD_UNKNOWN|BLOB_UPLOAD_INVALID|RANGE_INVALID|SIZE_INVALID|DIGEST_INVALID)$/.test(code),
  )
}

function isRegistryError(error: unknown): error is RegistryError {
  return error instanceof BuildError && error.name === 'RegistryError'
}

/** Headers of a chunk. @param end  exclusive, unlike in the header @see distribution-spec, "Pushing a blob in chunks" */
export function chunkHeaders(start: number, end: number): Record<string, string> {
  return {
    'content-type': 'application/octet-stream',
    'content-length': String(end - start),
    'content-range': `${start}-${end - 1}`,
  }
}

/** The address that closes an upload; a location may have a query of its own. */
export function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`
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
