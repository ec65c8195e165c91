import type { ClientRequest, IncomingMessage } from 'node:http'
import { hasBody } from './headers.ts'

/** Sees the body on its way. */
export type Tap = (chunk: Buffer) => void

/** The body of a request: sent as it comes, no faster than it is taken, and again from its begin while all of it is kept. */
export class RequestBody {
  readonly #request: IncomingMessage
  readonly #mostBytes: number
  /** What was sent of it; undefined when that is not all there was. */
  #kept: Buffer[] | undefined = []
  #sizeBytes = 0
  #isBegun = false

  /** @param mostBytes  that are kept */
  constructor(request: IncomingMessage, mostBytes: number) {
    this.#request = request
    this.#mostBytes = mostBytes
  }

  /** Whether {@link sendTo} would send all of it. */
  get isWhole(): boolean {
    return this.#kept !== undefined
  }

  /** It is not sent again. */
  forget(): void {
    this.#kept = undefined
  }

  /** @param tap  sees it once, however often it is sent */
  sendTo(outgoing: ClientRequest, tap: Tap | undefined): void {
    const request = this.#request
    if (!hasBody(request)) return void outgoing.end()
    // Whoever waits for `100 Continue` sends no body before the head is there; else both go together.
    if (request.headers.expect !== undefined) outgoing.flushHeaders()
    if (this.#isBegun) this.#sendKept(outgoing)
    else {
      this.#isBegun = true
      if (tap !== undefined) request.on('data', tap)
      request.on('data', (chunk: Buffer) => this.#keep(chunk))
    }
    request.pipe(outgoing)
  }

  #sendKept(outgoing: ClientRequest): void {
    if (this.#kept === undefined) throw new TypeError('The body is not kept')
    for (const chunk of this.#kept) outgoing.write(chunk)
  }

  #keep(chunk: Buffer): void {
    this.#sizeBytes += chunk.length
    if (this.#sizeBytes > this.#mostBytes) this.forget()
    this.#kept?.push(chunk)
  }
}
