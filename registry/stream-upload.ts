import type { Digest } from 'oci-spec-types'
import { Digester } from '../src/core/digest.ts'
import { BuildError, isBuildError } from '../src/core/errors.ts'
import type { Open, OpenOptions } from '../src/core/bytes.ts'
import type { HttpResponse } from '../src/core/http.ts'
import { isRetryableStatus } from '../src/core/net/retry.ts'
import { RegistryError } from './errors.ts'
import { pause } from './patience.ts'
import { FIRST_CHUNK_BYTES, LEAST_CHUNK_BYTES, uploadBlob } from './upload.ts'
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

/** A blob whose digest is known only when all of it has been read. */
export interface PushedStream {
  /**
   * The same bytes each time it is opened. Opened once unless something breaks; then from the offset that the registry
   * has kept. What it throws ends the upload, and is thrown.
   */
  readonly open: Open
  /** When it is known ahead: some proxies want to be told the length. */
  readonly sizeBytes?: number | undefined
  /** What the stream was, when somebody hashes it on its way already; asked when it has ended. */
  readonly made?: (() => StreamedBlob) | undefined
}

/** What a stream turned out to be. */
export interface StreamedBlob {
  readonly digest: Digest
  readonly size: number
}

/**
 * Uploads a blob while it is being made: `POST`, the whole in one `PATCH`, and a `PUT` that says the digest.
 *
 * A cut goes on where the registry stands, and what was hashed is not hashed again. A registry or proxy that refuses the
 * `PATCH` (416 from GHCR with ranges, 411, 413) gets chunks of at most 4 MiB, which are the most that is held in memory.
 * After a failure the upload is cancelled, unless the registry takes no requests.
 *
 * @throws RegistryError; BuildError SIZE_MISMATCH when the source gives another number of bytes than before or as said
 */
export async function uploadStream(target: UploadTarget, stream: PushedStream): Promise<StreamedBlob> {
  const upload = new StreamUpload(target, stream)
  try {
    await upload.send()
    return await upload.close()
  } catch (error) {
    if (!(error instanceof RegistryError && error.status === 429)) await upload.cancel()
    throw error
  }
}

/** One stream on its way. */
class StreamUpload {
  readonly #target: UploadTarget
  readonly #stream: PushedStream
  /** Absent where somebody else hashes. */
  readonly #digester: Digester | undefined
  /** How far the stream was ever read. */
  #seenBytes = 0
  #session: Session | undefined
  /** Undefined: all in one request. */
  #chunkBytes: number | undefined
  #sourceFailure: { readonly error: unknown } | undefined

  constructor(target: UploadTarget, stream: PushedStream) {
    this.#target = target
    this.#stream = stream
    if (stream.made === undefined) this.#digester = new Digester()
  }

  /** Brings all bytes to the registry. Progress earns new tries. */
  async send(): Promise<void> {
    const { policy } = this.#target.patience
    for (let tries = 1; ; tries++) {
      this.#target.signal?.throwIfAborted()
      const before = this.#session?.offset ?? 0
      let error: unknown
      let refusal: HttpResponse | undefined
      try {
        this.#session ??= await startUpload(this.#target)
        refusal = await this.#sendFrom(this.#session)
        if (refusal === undefined) return
        error = await failure(refusal, 'PATCH')
      } catch (caught) {
        if (this.#sourceFailure !== undefined) throw this.#sourceFailure.error
        if (!isBuildError(caught, 'NETWORK_FAILED')) throw caught
        error = caught
      }
      const status = refusal?.status ?? 0
      // Refused until all patience was gone: the next request would be as well.
      if (status === 429) throw error
      if (this.#shrinks(status, before)) {
        this.#session = undefined
        tries = 0
        continue
      }
      const isLost = this.#session === undefined || isSessionLost(error, status)
      if (status !== 0 && !isRetryableStatus(status) && !isLost) throw error
      this.#session = isLost ? undefined : await resume(this.#target, this.#session as Session, before)
      if ((this.#session?.offset ?? 0) > before) tries = 1
      if (tries >= policy.tries) throw error
      await pause(this.#target.patience, tries, refusal?.header('retry-after'), this.#target.signal)
    }
  }

  /** Says the digest. An answer that got lost is found by asking for the blob; a lost upload is made once more. */
  async close(): Promise<StreamedBlob> {
    const blob = this.#blob()
    const { digest } = blob
    const response = await send(this.#target, {
      method: 'PUT',
      path: withDigest(this.#session?.location ?? '', digest),
      headers: { 'content-length': '0' },
      body: new Uint8Array(0),
      retry: true,
    })
    if (isStored(response.status)) {
      await response.discard()
      const stored = response.header('docker-content-digest')
      if (stored === undefined || stored === digest || !stored.startsWith('sha256:')) return blob
      throw new BuildError('DIGEST_MISMATCH', `The registry stored ${stored} instead of ${digest}`)
    }
    const error: RegistryError = await failure(response, 'PUT')
    if (error.status === 429) throw error
    if (await this.#target.has(digest)) return blob
    if (!isRetryableStatus(response.status) && !isSessionLost(error, response.status)) throw error
    this.#session = undefined
    await uploadBlob(this.#target, { descriptor: blob, open: this.#stream.open })
    return blob
  }

  /** @throws BuildError SIZE_MISMATCH when who hashes has seen another number of bytes */
  #blob(): StreamedBlob {
    const made = this.#stream.made?.() ?? { digest: this.#digester?.digest(), size: this.#seenBytes }
    const { digest, size } = made
    if (digest !== undefined && size === this.#seenBytes) return { digest, size }
    throw new BuildError('SIZE_MISMATCH', `Of a blob of ${size} bytes ${this.#seenBytes} were sent`)
  }

  /** Tells the registry that nothing more comes. It forgets by itself, too, so that its answer does not matter. */
  async cancel(): Promise<void> {
    if (this.#session === undefined || this.#target.signal?.aborted === true) return
    try {
      const response = await send(this.#target, { method: 'DELETE', path: this.#session.location })
      await response.discard()
    } catch (error) {
      // The reason why the upload ended is the one to tell.
      if (!(error instanceof BuildError)) throw error
    }
  }

  /** @returns the answer that refused; undefined when all is there */
  async #sendFrom(session: Session): Promise<HttpResponse | undefined> {
    const limit = this.#chunkBytes ?? session.maxChunk
    if (limit !== undefined) return this.#sendChunks(session, Math.max(limit, session.minChunk))
    const { sizeBytes } = this.#stream
    const length = sizeBytes === undefined ? {} : { 'content-length': String(sizeBytes - session.offset) }
    const response = await send(this.#target, {
      method: 'PATCH',
      path: session.location,
      headers: { 'content-type': 'application/octet-stream', ...length },
      body: (options) => this.#rest(session.offset, options),
    })
    if (!isStored(response.status)) return response
    this.#session = await readSession(this.#target, response, this.#seenBytes)
    return undefined
  }

  async #sendChunks(session: Session, step: number): Promise<HttpResponse | undefined> {
    let parts: Uint8Array[] = []
    let held = 0
    const flush = async (): Promise<HttpResponse | undefined> => {
      const { offset, location, minChunk } = this.#session ?? session
      const body = Buffer.concat(parts, held)
      const headers = chunkHeaders(offset, offset + held)
      parts = []
      held = 0
      const response = await send(this.#target, { method: 'PATCH', path: location, headers, body })
      if (!isStored(response.status)) return response
      this.#session = { ...(await readSession(this.#target, response, offset + body.length)), minChunk }
      return undefined
    }
    for await (const chunk of this.#rest(session.offset, { signal: this.#target.signal })) {
      for (let at = 0; at < chunk.length;) {
        const part = chunk.subarray(at, at + step - held)
        // A copy: the source may use its buffer again.
        parts.push(Uint8Array.from(part))
        held += part.length
        at += part.length
        if (held < step) continue
        const refusal = await flush()
        if (refusal !== undefined) return refusal
      }
    }
    return held > 0 ? flush() : undefined
  }

  /** The bytes from an offset on; those that were never seen before are hashed. */
  async *#rest(offset: number, options: OpenOptions = {}): AsyncGenerator<Uint8Array> {
    const { onBytes } = this.#target
    let position = offset
    try {
      for await (const chunk of this.#stream.open({ ...options, offset })) {
        const known = Math.max(0, this.#seenBytes - position)
        if (known < chunk.length) {
          this.#digester?.update(chunk.subarray(known))
          this.#seenBytes += chunk.length - known
        }
        yield chunk
        position += chunk.length
        onBytes?.(position)
      }
      this.#assertSize(position)
    } catch (error) {
      this.#sourceFailure = { error }
      throw error
    }
  }

  #assertSize(position: number): void {
    const expected = this.#stream.sizeBytes ?? this.#seenBytes
    if (position === expected && position === this.#seenBytes) return
    throw new BuildError('SIZE_MISMATCH', `The source of a blob gave ${position} bytes instead of ${expected}`)
  }

  /** Whether smaller requests may help; the next are then smaller. */
  #shrinks(status: number, offset: number): boolean {
    const isFirst = this.#chunkBytes === undefined
    if (status !== 413 && status !== 416 && !(isFirst && /^(400|405|411|415|501)$/.test(String(status)))) return false
    // 416 to a request that goes on is about where it begins, not about its size.
    if (status === 416 && offset > 0) return false
    const next = isFirst ? FIRST_CHUNK_BYTES : Math.ceil((this.#chunkBytes ?? 0) / 2)
    if (next < LEAST_CHUNK_BYTES) return false
    this.#chunkBytes = next
    return true
  }
}
