import { verify } from '../src/core/digest.ts'
import { maskUrl } from '../src/core/http.ts'
import { acquire, type Limiter } from '../src/core/limits.ts'
import type { RemoteFile } from '../src/core/remote-file.ts'
import type { RemoteAccess } from './context.ts'
import { download, makeOpenInMemory, type DownloadOptions } from './remote.ts'

/** Smaller files are proven before anything is read of them, and held meanwhile. */
const HELD_BYTES = 1 << 20

/**
 * Makes what opens a file that is read once, from its start to its end, for builds that keep nothing: its bytes pass through, and
 * are not held. What was passed cannot be read again; what lies before that is held until it is.
 *
 * A download runs from the first read until the file is closed, and takes a place all the while. All of the file passes through its
 * hash: `prove` reads what is left, and fails when the file is not the one that was asked for.
 */
export function makeOpenPassing(
  options: DownloadOptions & { readonly limit: Limiter },
): (file: RemoteFile) => Promise<RemoteAccess> {
  const openInMemory = makeOpenInMemory(options)
  return async (file) => (file.sizeBytes <= HELD_BYTES ? openInMemory(file) : new PassingFile(file, options))
}

class PassingFile implements RemoteAccess {
  readonly sizeBytes: number
  readonly #bytes: AsyncGenerator<Uint8Array>
  /** What has come and was not passed on, and where it begins. */
  #held: Buffer = Buffer.alloc(0)
  #heldAt = 0
  /** What broke stays broken: a stream that has thrown seems to have ended. */
  #failure: { readonly error: unknown } | undefined

  constructor(file: RemoteFile, options: DownloadOptions & { readonly limit: Limiter }) {
    this.sizeBytes = file.sizeBytes
    this.#bytes = inTurn(file, options)
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.#assertAhead(offset, length)
    while (this.#heldAt + this.#held.length < offset + length) await this.#hold()
    const at = offset - this.#heldAt
    return this.#held.subarray(at, at + length)
  }

  async *stream(
    offset: number,
    length: number,
    { reuse = false }: { readonly reuse?: boolean } = {},
  ): AsyncGenerator<Uint8Array> {
    this.#assertAhead(offset, length)
    const end = offset + length
    while (this.#heldAt + this.#held.length < offset) await this.#hold()
    const first = this.#held.subarray(offset - this.#heldAt, end - this.#heldAt)
    let at = offset + first.length
    if (first.length > 0) yield first
    if (at === end) return
    this.#held = Buffer.alloc(0)
    while (at < end) {
      const chunk = await this.#next()
      const part = chunk.subarray(0, end - at)
      at += part.length
      // What lies behind is kept before the memory is used again.
      if (part.length < chunk.length) this.#held = Buffer.from(chunk.subarray(part.length))
      this.#heldAt = at
      yield reuse ? part : Uint8Array.from(part)
    }
  }

  async prove(): Promise<void> {
    for (;;) {
      const next = await this.#advance()
      if (next.done === true) return
    }
  }

  async close(): Promise<void> {
    this.#failure ??= { error: new RangeError('Read a file that was closed') }
    await this.#bytes.return(undefined)
  }

  #assertAhead(offset: number, length: number): void {
    if (offset + length > this.sizeBytes) throw new RangeError('Read past the end of a file')
    if (offset < this.#heldAt) throw new RangeError('Read what has passed by')
  }

  async #hold(): Promise<void> {
    this.#held = Buffer.concat([this.#held, await this.#next()])
  }

  async #next(): Promise<Uint8Array> {
    const next = await this.#advance()
    if (next.done === true) throw new RangeError('Read past the end of a file')
    return next.value
  }

  async #advance(): Promise<IteratorResult<Uint8Array, void>> {
    if (this.#failure !== undefined) throw this.#failure.error
    try {
      return await this.#bytes.next()
    } catch (error) {
      this.#failure = { error }
      throw error
    }
  }
}

async function* inTurn(
  file: RemoteFile,
  options: DownloadOptions & { readonly limit: Limiter },
): AsyncGenerator<Uint8Array, void> {
  const release = await acquire(options.limit)
  try {
    const expected = { digest: `sha256:${file.sha256}`, size: file.sizeBytes } as const
    yield* verify(download(file, options), expected, maskUrl(file.url))
  } finally {
    release()
  }
}
