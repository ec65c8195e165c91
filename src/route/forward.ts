import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { systemErrorCode } from '../core/errors.ts'
import { forwardedHeaders, hasBody } from './headers.ts'
import type { RequestBody, Tap } from './request-body.ts'
import type { Upstream } from './upstream.ts'

/** What became of a request that was sent on. */
export type Attempt =
  | { readonly kind: 'answered'; readonly answer: IncomingMessage }
  /** Nothing of it left this machine: it can be sent elsewhere, whatever it asks for. */
  | { readonly kind: 'unreached'; readonly reason: string }
  /** Nothing of it left this machine either: its server had closed the connection that was kept, which says nothing of a new one. */
  | { readonly kind: 'stale' }
  /** It was sent, or a part of it, and no answer came; on a connection that was kept, perhaps just when its server closed it. */
  | { readonly kind: 'broken'; readonly reason: string; readonly isKept: boolean }
  /** Whoever asked went away. */
  | { readonly kind: 'abandoned' }

/** How a request is sent on. */
export interface ForwardOptions {
  /** With the query. */
  readonly path: string
  readonly body: RequestBody
  readonly tap?: Tap | undefined
  /** Whether a connection that was kept may carry it. */
  readonly isKept: boolean
}

const CONNECT_MS = 5000

/** Sends a request on, its body as it comes and no faster than it is taken, and waits for the head of the answer. */
export function forward(
  upstream: Upstream,
  request: IncomingMessage,
  response: ServerResponse,
  { path, body, tap, isKept }: ForwardOptions,
): Promise<Attempt> {
  const headers = forwardedHeaders(request, upstream.url.host)
  // Node would send the body of a GET or DELETE without a frame, and its server would take it for another request.
  if (hasBody(request) && headers['content-length'] === undefined) headers['transfer-encoding'] = 'chunked'
  const outgoing = upstream.request(request.method ?? 'GET', path, headers, isKept)
  return new Promise((resolve) => {
    let isSent = false
    let isSettled = false
    const settle = (attempt: Attempt): void => {
      isSettled = true
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
      if (isSent) settle({ kind: 'broken', reason, isKept: outgoing.reusedSocket })
      else settle(outgoing.reusedSocket ? { kind: 'stale' } : { kind: 'unreached', reason })
    })
    outgoing.on('socket', (socket) =>
      whenUsable(socket, outgoing, () => {
        if (isSettled) return
        isSent = true
        body.sendTo(outgoing, tap)
      }),
    )
  })
}

function whenUsable(socket: Socket, outgoing: ClientRequest, usable: () => void): void {
  // That its server closed it may be known to the system and not yet to us: between these two all that is known is read.
  if (outgoing.reusedSocket) setImmediate(() => setImmediate(usable))
  else if (!socket.connecting) usable()
  else socket.once('encrypted' in socket ? 'secureConnect' : 'connect', usable)
}
