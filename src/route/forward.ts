import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { systemErrorCode } from '../core/errors.ts'
import { forwardedHeaders, hasBody } from './headers.ts'
import type { Upstream } from './upstream.ts'

/** What became of a request that was sent on. */
export type Attempt =
  | { readonly kind: 'answered'; readonly answer: IncomingMessage }
  /** Nothing of it left this machine: it can be sent elsewhere, whatever it asks for. */
  | { readonly kind: 'unreached'; readonly reason: string }
  /** It was sent, or a part of it, and no answer came; on a connection that was kept, perhaps just when its server closed it. */
  | { readonly kind: 'broken'; readonly reason: string; readonly isKept: boolean }
  /** Whoever asked went away. */
  | { readonly kind: 'abandoned' }

/** Sees the body on its way. */
export type Tap = (chunk: Buffer) => void

const CONNECT_MS = 5000

/**
 * Sends a request on, its body as it comes and no faster than it is taken, and waits for the head of the answer.
 *
 * @param path  with the query
 */
export function forward(
  upstream: Upstream,
  request: IncomingMessage,
  response: ServerResponse,
  { path, tap }: { readonly path: string; readonly tap?: Tap | undefined },
): Promise<Attempt> {
  const headers = forwardedHeaders(request, upstream.url.host)
  // Node would send the body of a GET or DELETE without a frame, and its server would take it for another request.
  if (hasBody(request) && headers['content-length'] === undefined) headers['transfer-encoding'] = 'chunked'
  const outgoing = upstream.request(request.method ?? 'GET', path, headers)
  return new Promise((resolve) => {
    let isSent = false
    const settle = (attempt: Attempt): void => {
      clearTimeout(timer)
      // Whoever passes the answer on sees by itself that nobody takes it.
      response.off('close', onGone)
      resolve(attempt)
    }
    const timer = setTimeout(() => {
      if (!isSent) outgoing.destroy(new Error(`no connection within ${CONNECT_MS / 1000} s`))
    }, CONNECT_MS)
    const onGone = (): void => {
      if (response.writableFinished) return
      outgoing.destroy()
      settle({ kind: 'abandoned' })
    }
    response.once('close', onGone)
    outgoing.on('response', (answer) => settle({ kind: 'answered', answer }))
    outgoing.on('continue', () => response.writeContinue())
    outgoing.on('error', (error) => {
      request.unpipe(outgoing)
      const reason = systemErrorCode(error) ?? error.message
      settle(isSent ? { kind: 'broken', reason, isKept: outgoing.reusedSocket } : { kind: 'unreached', reason })
    })
    outgoing.on('socket', (socket) =>
      whenConnected(socket, () => {
        isSent = true
        sendBody(request, outgoing, tap)
      }),
    )
  })
}

function whenConnected(socket: Socket, connected: () => void): void {
  if (!socket.connecting) return connected()
  socket.once('encrypted' in socket ? 'secureConnect' : 'connect', connected)
}

function sendBody(request: IncomingMessage, outgoing: ClientRequest, tap: Tap | undefined): void {
  if (!hasBody(request)) return void outgoing.end()
  // Whoever waits for `100 Continue` sends no body before the head is there; else both go together.
  if (request.headers.expect !== undefined) outgoing.flushHeaders()
  if (tap !== undefined) request.on('data', tap)
  request.pipe(outgoing)
}
