import type { OnReadOpts, Socket } from 'node:net'
import { slabs } from '../slabs.ts'

/** One is read by the consumer, one is full and waits, one is filled. */
const SLABS = 3
/** A slab with less room than this is full: a read into it would not be worth its call. */
const LEAST_READ_BYTES = 64 << 10

/** A part of a slab that holds bytes. */
interface Piece {
  readonly slab: Buffer
  readonly bytes: Uint8Array
}

/**
 * Takes what a socket brings into a few buffers that are used again and again, and stops the socket while all are full.
 *
 * What `next` gives is overwritten after the next call.
 */
export class SlabQueue {
  readonly onread: OnReadOpts
  readonly #free: Buffer[] = []
  readonly #full: Piece[] = []
  readonly #onArrival: () => void
  #slab: Buffer = slabs.take()
  /** Bytes of the present slab from `#taken` to `#filled` have arrived and not been asked for. */
  #taken = 0
  #filled = 0
  #socket: Socket | undefined
  #isPaused = false
  #lent: Buffer | undefined
  #ended = false
  #failure: Error | undefined
  #wake: () => void = () => {}

  /** @param onArrival called whenever bytes come */
  constructor(onArrival: () => void) {
    this.#onArrival = onArrival
    for (let i = 1; i < SLABS; i++) this.#free.push(slabs.take())
    this.onread = {
      buffer: () => this.#slab.subarray(this.#filled),
      callback: (count) => this.#arrived(count),
    }
  }

  /** Follows the end of the socket that `onread` was given to. */
  attach(socket: Socket): void {
    this.#socket = socket
    socket.on('error', (error) => this.fail(error))
    socket.once('end', () => this.#end())
    socket.once('close', () => this.#end())
  }

  /** Nothing more comes; what has arrived is still given. */
  fail(error: Error): void {
    this.#failure ??= error
    this.#wake()
  }

  /**
   * At most so many of the next bytes, at least one.
   *
   * @returns undefined at the end
   * @throws the error that broke the connection, after all that came before it
   */
  async next(most: number): Promise<Uint8Array | undefined> {
    this.#giveBack()
    for (;;) {
      const piece = this.#full[0]
      if (piece !== undefined) {
        if (piece.bytes.length > most) {
          this.#full[0] = { slab: piece.slab, bytes: piece.bytes.subarray(most) }
          return piece.bytes.subarray(0, most)
        }
        this.#full.shift()
        this.#lent = piece.slab
        return piece.bytes
      }
      // What a slow or broken connection has brought is given as it is.
      if (this.#ended || this.#failure !== undefined || this.#filled - this.#taken >= most) {
        const bytes = this.#slab.subarray(this.#taken, Math.min(this.#filled, this.#taken + most))
        this.#taken += bytes.length
        if (bytes.length > 0) return bytes
        if (this.#failure !== undefined) throw this.#failure
        return undefined
      }
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  /** A copy of the next bytes up to a text and with it. @throws Error when it does not come within 64 KiB */
  async upTo(text: string): Promise<Buffer> {
    for (;;) {
      const seen = this.#slab.subarray(this.#taken, this.#filled)
      const at = seen.indexOf(text)
      if (at !== -1) {
        this.#taken += at + text.length
        return Buffer.from(seen.subarray(0, at + text.length))
      }
      if (this.#failure !== undefined) throw this.#failure
      if (this.#ended) throw Object.assign(new Error('The connection was closed'), { code: 'ECONNRESET' })
      if (seen.length > LEAST_READ_BYTES)
        throw Object.assign(new Error('The answer is not HTTP: its head has no end'), { code: 'HPE_INVALID' })
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  /** Gives the memory back when the connection is closed. Nothing that `next` gave is in use, and `next` is not called again. */
  recycle(): void {
    const socket = this.#socket
    if (socket === undefined || socket.closed) this.#recycleNow()
    else socket.once('close', () => this.#recycleNow())
  }

  #recycleNow(): void {
    this.#giveBack()
    for (const slab of [...this.#free.splice(0), ...this.#full.splice(0).map((piece) => piece.slab), this.#slab])
      slabs.give(slab)
  }

  #arrived(count: number): boolean {
    this.#filled += count
    this.#onArrival()
    if (this.#slab.length - this.#filled < LEAST_READ_BYTES) this.#change()
    this.#wake()
    return !this.#isPaused
  }

  /** The slab is full: the next one is filled. Without one in reserve the socket has to wait. */
  #change(): void {
    this.#full.push({ slab: this.#slab, bytes: this.#slab.subarray(this.#taken, this.#filled) })
    this.#slab = this.#free.pop() ?? slabs.take()
    this.#taken = 0
    this.#filled = 0
    this.#isPaused = this.#free.length === 0
  }

  #giveBack(): void {
    if (this.#lent === undefined) return
    this.#free.push(this.#lent)
    this.#lent = undefined
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#socket?.resume()
  }

  #end(): void {
    this.#ended = true
    this.#wake()
  }
}
