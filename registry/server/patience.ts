import type { IncomingMessage, ServerResponse } from 'node:http'
import { Fault } from './fault.ts'

/** A slow line is patient with us, and we with it; what brings less holds a connection and gets nowhere. */
const LEAST_BYTES_PER_SECOND = 64

/**
 * Gives a request up whose body does not get on: silent for a while, or trickling below what any line brings. One that is refused
 * is watched as well, since its connection lasts as long as its body.
 *
 * Time that this side takes, with bytes that wait to be read, does not count.
 *
 * @param idleMs the while
 */
export function watchBody(request: IncomingMessage, response: ServerResponse, idleMs: number): void {
  const { socket } = request
  let before = socket.bytesRead
  const least = (LEAST_BYTES_PER_SECOND * idleMs) / 1000
  const timer = setInterval(() => {
    const brought = socket.bytesRead - before
    before = socket.bytesRead
    if (request.complete) clearInterval(timer)
    else if (brought < least && request.readableLength === 0) giveUp(request, response)
  }, idleMs).unref()
  request.once('close', () => clearInterval(timer))
  // By the server, for a connection on which nothing moves at all.
  request.once('timeout', () => giveUp(request, response))
}

/** The bytes that came stay in their upload, so that its client may go on. */
function giveUp(request: IncomingMessage, response: ServerResponse): void {
  if (response.headersSent) return void request.destroy()
  const body = new Fault('BLOB_UPLOAD_INVALID', 'The body does not get on').body()
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), connection: 'close' }
  response.writeHead(408, headers).end(body, () => request.destroy())
}
