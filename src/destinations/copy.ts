import type { Digest } from 'oci-spec-types'
import { proven, type Open } from '../core/bytes.ts'
import type { HashedStream } from '../core/digest.ts'
import { BuildError, isBuildError } from '../core/errors.ts'
import { makeUploadLimiter, type Limiter } from '../core/limits.ts'
import { silent, startTask, type Report } from '../core/progress.ts'
import { StopClock } from '../core/stop-clock.ts'
import type { PushOutcome } from '../../registry/upload.ts'
import type { Image, ImageIndex } from '../image/image.ts'
import { contentOf, type Blob, type BlobHome, type Content } from './content.ts'
import type { Destination } from './destination.ts'

/** How a copy runs. */
export interface CopyOptions {
  readonly report?: Report | undefined
  readonly signal?: AbortSignal | undefined
}

/** What a copy did. */
export interface CopyResult {
  /** Of the root manifest. */
  readonly digest: Digest
  /** `exists`: everything was there under this name already. */
  readonly outcome: 'exists' | 'copied'
  readonly blobs: Readonly<Record<PushOutcome, number>>
  readonly uploadedBytes: number
}

/** A body that arrives damaged is fetched again this often. */
const BLOB_TRIES = 3

/**
 * Writes an image or an index to a destination: blobs first, each verified, the name last.
 *
 * @throws whatever broke; nothing of the copy is then visible at the destination
 */
export function copyImage(
  image: Image | ImageIndex,
  destination: Destination,
  options: CopyOptions = {},
): Promise<CopyResult> {
  return copyContent(contentOf(image), destination, options)
}

/** Writes a content to a destination as {@link copyImage} does. */
export function copyContent(
  content: Content,
  destination: Destination,
  options: CopyOptions = {},
): Promise<CopyResult> {
  return startDelivery(destination, options).finish(content)
}

/** A copy that may begin before all of its content is known. Call `finish` or `abort` once, last. */
export interface Delivery {
  /**
   * Begins to put a blob that will be part of the content, where the destination takes such. A failure is told at once to
   * `onFailure`, and thrown by `finish`.
   */
  offer(blob: Blob): void
  /**
   * Sends the bytes of a blob that is being made, where the destination takes such. What becomes of it is no failure of the
   * delivery: a blob that did not get there is put when the content is known, like any other.
   */
  stream(blob: HashedStream): Promise<void>
  /** As `stream`, as long as that is worth it: to a destination that has nothing yet, and takes what is sent so. */
  streamIfNew(blob: HashedStream): Promise<void>
  /** Whether the destination has a blob, as far as it can be asked: then it need not be made. */
  has(digest: Digest): Promise<boolean>
  /** Puts what is missing, then the manifests, the name last. @throws whatever broke */
  finish(content: Content): Promise<CopyResult>
  /** Gives up; once it resolves nothing moves any more, and nothing is visible at the destination. */
  abort(reason: unknown): Promise<void>
}

/** How a delivery runs. */
export interface DeliveryOptions extends CopyOptions {
  /** Repositories that blobs will be mounted from. */
  readonly homes?: readonly BlobHome[] | undefined
  readonly onFailure?: ((error: unknown) => void) | undefined
}

/** Starts a copy whose blobs may come before its manifest. Asks nothing of the destination yet. */
export function startDelivery(destination: Destination, options: DeliveryOptions = {}): Delivery {
  const given = new AbortController()
  const signal = options.signal === undefined ? given.signal : AbortSignal.any([options.signal, given.signal])
  const run = new Copy(destination, { ...options, signal })
  const offered: Promise<unknown>[] = []
  let preparing: Promise<void> | undefined
  let isNew: Promise<boolean> | undefined
  const stream = async (blob: HashedStream): Promise<void> => {
    if (destination.putStream === undefined || signal.aborted) return
    preparing ??= destination.prepare?.(options.homes ?? [])
    await preparing
    const streaming = run.putStream(blob)
    offered.push(streaming)
    // What is refused once is not tried again for the next blob.
    if (!(await streaming)) isNew = Promise.resolve(false)
  }
  const put = async (blob: Blob): Promise<void> => {
    preparing ??= destination.prepare?.(options.homes ?? [])
    await preparing
    await run.put(blob)
  }
  const abort = async (reason: unknown): Promise<void> => {
    given.abort(reason)
    await Promise.allSettled(offered)
    await destination.abort()
  }
  return {
    offer(blob) {
      if (destination.prepare === undefined || signal.aborted) return
      const putting = put(blob)
      putting.catch((error: unknown) => options.onFailure?.(error))
      offered.push(putting)
    },
    stream,
    async streamIfNew(blob) {
      preparing ??= destination.prepare?.(options.homes ?? [])
      await preparing
      // Whoever may not ask may still put; what is wrong with it is told where blobs are put.
      isNew ??= (destination.isNew?.() ?? Promise.resolve(false)).catch(() => false)
      if (await isNew) await stream(blob)
    },
    async has(digest) {
      if (destination.hasBlob === undefined) return false
      preparing ??= destination.prepare?.(options.homes ?? [])
      await preparing
      // Whoever may not ask may still put; what is wrong is told where blobs are put.
      return destination.hasBlob(digest).catch(() => false)
    },
    async finish(content) {
      try {
        signal.throwIfAborted()
        await preparing
        if (await destination.begin(content)) return run.result(content, 'exists')
        await run.copy(content)
        signal.throwIfAborted()
        await run.publish(content)
        return run.result(content, 'copied')
      } catch (error) {
        await abort(error)
        // Whatever broke when the caller gave up, that is the reason.
        if (options.signal?.aborted) throw options.signal.reason
        throw error
      }
    },
    abort,
  }
}

/** One copy on its way. */
class Copy {
  readonly #destination: Destination
  readonly #report: Report
  readonly #signal: AbortSignal | undefined
  readonly #limit: Limiter
  /** Blobs that several platforms share are stored once. */
  readonly #stored = new Map<Digest, Promise<PushOutcome>>()
  readonly #counts = { exists: 0, mounted: 0, uploaded: 0 }
  #uploadedBytes = 0
  #failure: { readonly error: unknown } | undefined

  constructor(destination: Destination, options: CopyOptions) {
    this.#destination = destination
    this.#report = options.report ?? silent
    this.#signal = options.signal
    this.#limit = makeUploadLimiter(destination.concurrency)
  }

  result(content: Content, outcome: CopyResult['outcome']): CopyResult {
    const { digest } = content.manifest.descriptor
    return { digest, outcome, blobs: { ...this.#counts }, uploadedBytes: this.#uploadedBytes }
  }

  /** Everything below a manifest, but not the manifest itself. */
  async copy(content: Content): Promise<void> {
    for (const child of content.children) {
      await this.copy(child)
      await this.#putting(child, () => this.#destination.putManifest(child.manifest))
    }
    const [config, ...layers] = content.blobs
    if (config === undefined) return
    // The configuration is what an image shares least: if it is there, the whole image may be.
    const isKnown = (await this.#put(config)) === 'exists' && (await this.#destination.has?.(content.manifest))
    if (isKnown !== true) await this.#putAll(layers)
  }

  /** One blob, when its turn comes. */
  put(blob: Blob): Promise<PushOutcome> {
    return this.#limit(() => this.#put(blob))
  }

  /**
   * One blob whose digest its bytes will tell; gives back whether it got there. It waits for no turn: what makes the blob has begun,
   * and holds threads that what is sent before it may need.
   */
  putStream({ bytes, made, name }: HashedStream): Promise<boolean> {
    return this.#limit.atOnce(async () => {
      const task = startTask(this.#report, nameOf(name, 'a layer that is being made'), { kind: 'upload' })
      const signal = this.#signal
      const clock = startClock()
      try {
        const open = openOnce(clocked(bytes, clock))
        const blob = await this.#destination.putStream?.(
          { open, made },
          { onBytes: (done) => task.bytes(done), signal },
        )
        if (blob !== undefined) {
          this.#stored.set(blob.digest, Promise.resolve('uploaded'))
          this.#counts.uploaded++
          this.#uploadedBytes += blob.size
        }
        task.end('done', blob?.digest.slice(0, 19))
        return blob !== undefined
      } catch (error) {
        signal?.throwIfAborted()
        task.end('skipped', error instanceof Error ? error.message : String(error))
        return false
      } finally {
        this.#tell(clock)
      }
    })
  }

  async publish(content: Content): Promise<void> {
    await this.#putting(content, () => this.#destination.finish(content.manifest))
  }

  /** Blobs may be swept between their arrival and their manifest's; they are then brought once more. */
  async #putting(content: Content, put: () => Promise<void>): Promise<void> {
    try {
      await put()
    } catch (error) {
      if (this.#destination.lacksBlobs?.(error) !== true) throw error
      for (const blob of content.blobs) await this.#store(blob, true)
      await put()
    }
  }

  async #putAll(blobs: readonly Blob[]): Promise<void> {
    // The largest first: begun last it would be sent alone in the end.
    const bySize = blobs.toSorted((a, b) => b.descriptor.size - a.descriptor.size)
    const results = await Promise.allSettled(bySize.map((blob) => this.put(blob)))
    // Told once all that has begun is over.
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  #put(blob: Blob): Promise<PushOutcome> {
    const { digest } = blob.descriptor
    let outcome = this.#stored.get(digest)
    if (outcome === undefined) {
      // One failure is enough: what has not begun does not begin.
      if (this.#failure !== undefined) return Promise.reject(this.#failure.error)
      outcome = this.#store(blob, false)
      this.#stored.set(digest, outcome)
      outcome.catch((error: unknown) => (this.#failure ??= { error }))
    }
    return outcome
  }

  async #store(blob: Blob, isRepair: boolean): Promise<PushOutcome> {
    const { descriptor } = blob
    const task = startTask(this.#report, nameOf(blob.name, `blob ${descriptor.digest.slice(0, 19)}`), {
      totalBytes: descriptor.size,
      kind: 'upload',
    })
    const clock = startClock()
    try {
      const outcome = await this.#storeTrying(clockedBlob(blob, clock), isRepair, (bytes) => task.bytes(bytes))
      this.#counts[outcome]++
      if (outcome === 'uploaded') this.#uploadedBytes += descriptor.size
      task.end(outcome === 'uploaded' ? 'done' : 'cached', outcome)
      return outcome
    } catch (error) {
      task.end('failed', error instanceof Error ? error.message : String(error))
      throw error
    } finally {
      this.#tell(clock)
    }
  }

  #tell(clock: UploadClock): void {
    clock.stop()
    for (const [on, ms] of clock.entries()) this.#report({ type: 'spent', on, ms })
  }

  async #storeTrying(blob: Blob, isRepair: boolean, onBytes: (bytes: number) => void): Promise<PushOutcome> {
    for (let tries = 1; ; tries++) {
      this.#signal?.throwIfAborted()
      try {
        return await this.#destination.putBlob(this.#abortable(blob, tries), {
          onBytes,
          isRepair,
          signal: this.#signal,
        })
      } catch (error) {
        const isDamaged =
          isBuildError(error, 'DIGEST_MISMATCH') ||
          isBuildError(error, 'SIZE_MISMATCH') ||
          this.#destination.sawDamage?.(error) === true
        if (!isDamaged || tries === BLOB_TRIES) throw error
      }
    }
  }

  /**
   * The same blob, whose stream ends with an error when the copy is given up: whoever sends it stops then. After a damaged
   * body the source looks for itself: a store then throws its damaged copy away.
   */
  #abortable({ open, ...blob }: Blob, tries: number): Blob {
    const signal = this.#signal
    const abortable: Open = async function* (options) {
      for await (const chunk of open(tries === 1 ? options : { ...options, isVerified: false })) {
        signal?.throwIfAborted()
        yield chunk
      }
    }
    return { ...blob, open: open.isProven === true && tries === 1 ? proven(abortable) : abortable }
  }
}

/** The layer has a task of the same name while it is made; this is the other one. */
function nameOf(name: string | undefined, otherwise: string): string {
  return `copy ${name ?? otherwise}`
}

/** What an upload waits for: its bytes, or whoever takes and acknowledges them. */
type UploadClock = StopClock<'wait for layers' | 'wait for destination'>

function startClock(): UploadClock {
  const clock: UploadClock = new StopClock(['wait for layers', 'wait for destination'])
  clock.turn('wait for destination')
  return clock
}

async function* clocked(bytes: AsyncIterable<Uint8Array>, clock: UploadClock): AsyncGenerator<Uint8Array> {
  try {
    clock.turn('wait for layers')
    for await (const chunk of bytes) {
      clock.turn('wait for destination')
      yield chunk
      clock.turn('wait for layers')
    }
  } finally {
    clock.turn('wait for destination')
  }
}

function clockedBlob({ open, ...blob }: Blob, clock: UploadClock): Blob {
  const timed: Open = (options) => clocked(open(options), clock)
  return { ...blob, open: open.isProven === true ? proven(timed) : timed }
}

/** A stream as something that can be opened, though a single time: what breaks cannot be taken up. */
function openOnce(bytes: AsyncIterable<Uint8Array>): Open {
  let isOpen = false
  return () => {
    if (isOpen) throw new BuildError('NETWORK_FAILED', 'A blob that is being made cannot be sent a second time')
    isOpen = true
    return bytes
  }
}
