import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { VERSION_HEADER } from '../core/version-header.ts'
import { endToEnd, type Headers } from './headers.ts'

/** What the server behind calls its version, where that is something else. */
const OWN_VERSION_HEADER = 'x-upstream-model-version'

/** Passes an answer on as it comes and no faster than it is taken. When it breaks off, so does what was passed on. */
export async function passOn(answer: IncomingMessage, response: ServerResponse, version: string): Promise<void> {
  const { [VERSION_HEADER]: own, ...headers } = endToEnd(answer)
  const said: Headers = own === undefined || own === version ? {} : { [OWN_VERSION_HEADER]: own }
  response.writeHead(answer.statusCode ?? 502, answer.statusMessage, { ...headers, ...said, [VERSION_HEADER]: version })
  // The first event of a stream may be long in coming; a body of known length is there.
  if (answer.headers['content-length'] === undefined) response.flushHeaders()
  await pipeline(answer, response)
}

/** Answers in the words of the servers behind: JSON with a `detail`. */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  refusal: { readonly status: number; readonly detail: string; readonly version?: string | undefined },
): void {
  if (response.headersSent || response.destroyed) return
  const { status, detail, version } = refusal
  const body = JSON.stringify({ detail })
  const isRead = request.complete
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...(version === undefined ? {} : { [VERSION_HEADER]: version }),
    ...(status === 503 ? { 'retry-after': '1' } : {}),
    // What is left of a body is not waited for.
    ...(isRead ? {} : { connection: 'close' }),
  })
  response.end(body)
  if (!isRead) request.resume()
}
