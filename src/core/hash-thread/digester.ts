import type { Digest, DigestAlgorithm } from 'oci-spec-types'
import { batches } from '../slabs.ts'
import type { Thread } from '../thread.ts'
import type { HashAnswer, HashRequest } from './messages.ts'

/** The way to a thread that hashes. */
export type HashPort = Pick<Thread<HashRequest, HashAnswer>, 'send' | 'onAnswer' | 'onEnd' | 'hold'>

/** Chunks from this size on are worth a message of their own; smaller ones are gathered by copying. */
const LARGE_BYTES = 1 << 16

/** Copies that may wait in the thread. */
const MOST_COPIES = 4

/**
 * Hashes bytes on another thread, which reads them where they lie if their memory can be shared: what it costs here is a message.
 * Close it, whatever happens.
 */
export class ThreadDigester {
  readonly #id: number
  readonly #algorithm: DigestAlgorithm
  readonly #port: HashPort
  readonly #onEnd: () => void
  /** Bytes that the thread was told of and has not taken, in order: lent by the caller, or copies in memory of our own. */
  readonly #sent: ('lent' | Buffer)[] = []
  #copies: Buffer | undefined
  #copied = 0
  #hex: string | undefined
  #failure: Error | undefined
  #wake: () => void = () => {}
  #sizeBytes = 0

  /** @param onEnd  called once, when nothing more is asked of the thread */
  constructor(id: number, algorithm: DigestAlgorithm, port: HashPort, onEnd: () => void) {
    this.#id = id
    this.#algorithm = algorithm
    this.#port = port
    this.#onEnd = onEnd
  }

  /** Bytes seen so far. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Takes the next bytes. They must stay as they are until {@link settled} has resolved. */
  update(chunk: Uint8Array): void {
    this.#sizeBytes += chunk.length
    if (chunk.length >= LARGE_BYTES && chunk.buffer instanceof SharedArrayBuffer) {
      this.#flush()
      // A plain view: a Buffer would cross as one as well, but is looked at longer.
      this.#send(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length), 'lent')
      return
    }
    for (let at = 0; at < chunk.length;) {
      this.#copies ??= batches.take()
      const part = chunk.subarray(at, at + this.#copies.length - this.#copied)
      this.#copies.set(part, this.#copied)
      this.#copied += part.length
      at += part.length
      if (this.#copied === this.#copies.length) this.#flush()
    }
  }

  /** Resolves when the thread reads none of the caller's bytes any more, and has not too much before it. @throws what ended the thread */
  async settled(): Promise<void> {
    await this.#until(() => this.#sent.length <= MOST_COPIES && !this.#sent.includes('lent'))
  }

  /** The digest of all bytes seen; call it once, last. @throws what ended the thread */
  async digest(): Promise<Digest> {
    this.#flush()
    this.#port.send({ type: 'end', id: this.#id })
    await this.#until(() => this.#hex !== undefined)
    return `${this.#algorithm}:${this.#hex ?? ''}`
  }

  /** Ends what is not at its end; does nothing otherwise. */
  close(): void {
    if (this.#hex === undefined && this.#failure === undefined) this.#port.send({ type: 'close', id: this.#id })
    // What the thread may still read is not given back: it is collected like any other memory.
    if (this.#copies !== undefined) batches.give(this.#copies)
    this.#copies = undefined
    this.#onEnd()
  }

  /** Takes an answer of the thread. */
  take(answer: HashAnswer): void {
    if (answer.type === 'taken') {
      const memory = this.#sent.shift()
      if (memory !== undefined && memory !== 'lent') batches.give(memory)
    } else this.#hex = answer.hex
    this.#wake()
  }

  /** The thread has ended. */
  fail(error: Error): void {
    this.#failure ??= error
    this.#wake()
  }

  #flush(): void {
    const memory = this.#copies
    if (memory === undefined) return
    this.#send(new Uint8Array(memory.buffer, memory.byteOffset, this.#copied), memory)
    this.#copies = undefined
    this.#copied = 0
  }

  #send(bytes: Uint8Array, memory: 'lent' | Buffer): void {
    this.#sent.push(memory)
    this.#port.send({ type: 'bytes', id: this.#id, bytes })
  }

  async #until(isReached: () => boolean): Promise<void> {
    while (this.#failure === undefined && !isReached()) await new Promise<void>((resolve) => (this.#wake = resolve))
    if (this.#failure !== undefined) throw this.#failure
  }
}
