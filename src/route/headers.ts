import type { IncomingMessage } from 'node:http'

/** Headers as Node takes them: by lower-case name. */
export type Headers = Record<string, string | string[]>

/** Of one connection, not of a message (RFC 9110, 7.6.1); Node frames bodies anew. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** The headers of a message that are for its other end, each as often as it came. */
export function endToEnd({ rawHeaders, headers }: IncomingMessage): Headers {
  const named = new Set((headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase()))
  const kept: Headers = {}
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name, value] = [(rawHeaders[at] ?? '').toLowerCase(), rawHeaders[at + 1] ?? '']
    if (HOP_BY_HOP.has(name) || named.has(name)) continue
    const before = kept[name]
    kept[name] = before === undefined ? value : [...[before].flat(), value]
  }
  return kept
}

/** What a version's server is sent: the request's headers, and where the request came from. */
export function forwardedHeaders(request: IncomingMessage, host: string): Headers {
  const headers = endToEnd(request)
  const from = [request.headers['x-forwarded-for'] ?? [], request.socket.remoteAddress ?? []].flat()
  return {
    ...headers,
    host,
    'x-forwarded-for': from.join(', '),
    'x-forwarded-proto': headers['x-forwarded-proto'] ?? ('encrypted' in request.socket ? 'https' : 'http'),
    'x-forwarded-host': headers['x-forwarded-host'] ?? request.headers.host ?? host,
  }
}

/** The value of a cookie; undefined when it is not sent. */
export function cookieOf(request: IncomingMessage, name: string): string | undefined {
  for (const part of (request.headers.cookie ?? '').split(';')) {
    const equals = part.indexOf('=')
    if (equals > 0 && part.slice(0, equals).trim() === name) return part.slice(equals + 1).trim()
  }
  return undefined
}

/** Whether a message says that a body follows. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}
