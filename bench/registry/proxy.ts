import { createServer, request as forward, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What a request is about, by its method and path. A mount is a `start`, too. */
export type Kind =
  | 'manifest'
  | 'head-manifest'
  | 'put-manifest'
  | 'blob'
  | 'head-blob'
  | 'start'
  | 'mount'
  | 'data'
  | 'other'

/** What happens to some requests on their way. */
export interface Fault {
  readonly kind: Kind
  readonly times: number
  readonly do:
    | { readonly status: number; readonly headers?: Readonly<Record<string, string>> }
    /** Breaks the connection after this many bytes of the answer, or of the request for `data`. */
    | { readonly cutAfter: number }
    | { readonly stallAfter: number }
    | { readonly endAfter: number }
    | { readonly corrupt: true }
    | { readonly loseAcknowledgement: true }
    | { readonly headers: Readonly<Record<string, string | undefined>> }
  /** Bodies smaller than this pass. */
  readonly minBytes?: number
}

/** A reverse proxy in front of a registry that counts requests and breaks some. */
export interface CountingProxy {
  readonly host: string
  readonly count: () => number
  readonly reset: (faults?: readonly Fault[]) => void
  readonly close: () => void
}

/** Starts it on loopback in front of `127.0.0.1:port`. */
export async function startProxy(port: number): Promise<CountingProxy> {
  let seen = 0
  let active: { fault: Fault; left: number }[] = []
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    seen++
    const kind = kindOf(request)
    const size = Number(request.headers['content-length'] ?? 0)
    const entry = active.find(
      ({ fault, left }) =>
        left > 0 &&
        (fault.kind === kind || (fault.kind === 'start' && kind === 'mount')) &&
        (kind !== 'data' || size >= (fault.minBytes ?? 0)),
    )
    if (entry !== undefined) entry.left--
    const action = entry?.fault.do
    if (action !== undefined && 'status' in action) {
      request.resume()
      request.once('end', () => {
        response.writeHead(action.status, { 'content-length': '0', ...action.headers })
        response.end()
      })
      return
    }
    const { method, url, headers } = request
    const upstream = forward({ host: '127.0.0.1', port, method, path: url, headers }, (answer) => {
      if (action !== undefined && 'loseAcknowledgement' in action) request.socket.resetAndDestroy()
      else deliver(answer, response, action, () => entry && entry.left++)
    })
    upstream.on('error', () => response.destroy())
    if (kind === 'data' && action !== undefined && ('cutAfter' in action || 'stallAfter' in action)) {
      let left = 'cutAfter' in action ? action.cutAfter : action.stallAfter
      request.on('data', (chunk: Buffer) => {
        if (left <= 0) return
        upstream.write(chunk.subarray(0, left))
        left -= chunk.length
        if (left > 0) return
        if ('cutAfter' in action) {
          request.socket.resetAndDestroy()
          upstream.destroy()
        } else request.pause()
      })
    } else request.pipe(upstream)
    request.on('error', () => upstream.destroy())
  }
  const server = createServer(handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    host: `localhost:${(server.address() as AddressInfo).port}`,
    count: () => seen,
    reset: (faults = []) => {
      seen = 0
      active = faults.map((fault) => ({ fault, left: fault.times }))
    },
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

function kindOf({ method, url = '' }: IncomingMessage): Kind {
  if (/\/manifests\//.test(url))
    return ({ GET: 'manifest', HEAD: 'head-manifest', PUT: 'put-manifest' } as const)[method ?? ''] ?? 'other'
  if (/\/blobs\/uploads\/?(\?|$)/.test(url)) return url.includes('mount=') ? 'mount' : 'start'
  if (/\/blobs\/uploads\//.test(url)) return method === 'PUT' || method === 'PATCH' ? 'data' : 'other'
  if (/\/blobs\//.test(url)) return method === 'GET' ? 'blob' : 'head-blob'
  return 'other'
}

function deliver(
  answer: IncomingMessage,
  response: ServerResponse,
  action: Fault['do'] | undefined,
  giveBack: () => void,
): void {
  const headers: Record<string, string | string[] | undefined> = { ...answer.headers }
  const size = Number(headers['content-length'] ?? 0)
  const limit =
    action === undefined
      ? undefined
      : 'cutAfter' in action
        ? action.cutAfter
        : 'endAfter' in action
          ? action.endAfter
          : 'stallAfter' in action
            ? action.stallAfter
            : undefined
  // Small bodies (the configuration) are not what a fault of bodies is about.
  if (limit !== undefined && size <= limit) giveBack()
  else if (limit !== undefined && action !== undefined) {
    if ('endAfter' in action) delete headers['content-length']
    response.writeHead(answer.statusCode ?? 502, clean(headers))
    let left = limit
    answer.on('data', (chunk: Buffer) => {
      if (left <= 0) return
      response.write(chunk.subarray(0, left))
      left -= chunk.length
      if (left > 0) return
      if ('endAfter' in action) response.end()
      else if ('cutAfter' in action) setTimeout(() => response.socket?.resetAndDestroy(), 20)
    })
    return
  }
  if (action !== undefined && 'headers' in action) Object.assign(headers, action.headers)
  response.writeHead(answer.statusCode ?? 502, clean(headers))
  if (action !== undefined && 'corrupt' in action) {
    let isDone = false
    answer.on('data', (chunk: Buffer) => {
      const copy = Buffer.from(chunk)
      if (!isDone) copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1
      isDone = true
      response.write(copy)
    })
    answer.on('end', () => response.end())
  } else answer.pipe(response)
}

function clean(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string | string[]] => entry[1] !== undefined),
  )
}
