import { digestAlgorithm, type Descriptor } from 'oci-spec-types'
import { verify } from '../src/core/digest.ts'
import { BuildError, isBuildError } from '../src/core/errors.ts'
import type { Open } from '../src/core/bytes.ts'
import { maskUrl, type HttpResponse } from '../src/core/http.ts'
import { isRetryableStatus } from '../src/core/net/retry.ts'
import { pause } from './patience.ts'
import {
  chunkHeaders,
  failure,
  isSessionLost,
  isStored,
  readSession,
  resume,
  send,
  startUpload,
  withDigest,
  type Session,
  type UploadTarget,
} from './upload-session.ts'

/** A blob that is to be in a repository. */
export interface PushedBlob {
  readonly descriptor: Pick<Descriptor, 'digest' | 'size'>
  /** Replayable: a broken upload is sent again, from an offset where the registry kept the beginning. */
  readonly open: Open
}

/** How a blob got where it should be. */
export type PushOutcome = 'exists' | 'mounted' | 'uploaded'

/** From this size on, one HEAD is cheaper than perhaps sending the blob a second time. */
const WORTH_A_HEAD_BYTES = 8 << 20
/** GHCR refuses PATCHes above this (416). */
export const FIRST_CHUNK_BYTES = 4 << 20
/** Smaller chunks than this are no way to send a blob. */
export const LEAST_CHUNK_BYTES = 64 << 10

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
      const response = await sendRest(target, tries === 1 ? blob : compared(blob), session, shape)
      if (isStored(response.status)) return await finish(response, blob)
      const retryAfter = response.header('retry-after')
      problem = { error: await failure(response, 'PUT'), status: response.status, retryAfter }
    } catch (error) {
      // A RegistryError here comes from starting the upload, which the transport has tried often enough.
      if (!isBuildError(error, 'NETWORK_FAILED')) throw error
      problem = { error, status: 0, retryAfter: undefined }
    }
    const { status, error } = problem
    // Neither changed anything; a 429 that comes to here has outlasted all patience.
    if (status === 401 || status === 403 || status === 429) throw error
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

/** How a blob is cut into requests. */
interface Shape {
  /** Undefined: in one piece. */
  readonly chunkBytes: number | undefined
  /** Whether the closing PUT has no body. */
  readonly closesEmpty: boolean
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
  // The registry compares the whole with its digest in any case.
  if (open.isProven === true) return (options) => open({ ...options, isVerified: true })
  return (options) => verify(open({ ...options, isVerified: true }), descriptor, `the blob ${descriptor.digest}`)
}

/** What the registry did not take at once may be damaged: it is compared here the next time. */
function compared({ descriptor, open }: PushedBlob): PushedBlob {
  return { descriptor, open: (options) => open(options) }
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

/** Whether to make sure that a blob is absent before it is sent. */
export function isWorthAHead(blob: PushedBlob): boolean {
  return blob.descriptor.size >= WORTH_A_HEAD_BYTES
}
