import { createServer, request as forward, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'

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

/** One way to misbehave. */
export type Misbehaviour =
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }
  /** Breaks the connection before anything is said or passed on. */
  | { readonly reset: true }
  /** Breaks the connection after this many bytes of the answer, or of the request for `data`. */
  | { readonly cutAfter: number }
  /** Goes silent after this many bytes; 0 is before anything. */
  | { readonly stallAfter: number }
  | { readonly endAfter: number }
  /** Sends the answer in so many pieces, 50 ms apart. */
  | { readonly slow: number }
  | { readonly corrupt: true }
  | { readonly extra: true }
  | { readonly gzip: true }
  | { readonly loseAcknowledgement: true }
  /** Passes the request on without its Range, or with another one and says so. */
  | { readonly range: 'ignored' | 'lied' }
  /** Sends the client to a store on another port of this host, which refuses credentials; or round and round. */
  | { readonly redirect: 'store' | 'loop' }
  /** Changes upload locations; with `query` every byte of it must come back. */
  | { readonly location: 'relative' | 'query' | 'elsewhere' }
  | { readonly headers: Readonly<Record<string, string | undefined>> }
  /** Judges the token expired. */
  | { readonly expire: true }

/** What happens to some requests on their way. */
export interface Fault {
  readonly kind: Kind
  readonly times: number
  readonly do: Misbehaviour
  /** Bodies smaller than this pass. */
  readonly minBytes?: number
  /** Only requests for a part. */
  readonly ofRange?: true
}

/** A reverse proxy in front of a registry that counts requests and breaks some. */
export interface CountingProxy {
  readonly host: string
  readonly count: () => number
  /** Forgets what was seen. With `tokens` every request needs a token, which anybody gets. */
  readonly reset: (faults?: readonly Fault[], tokens?: boolean) => void
  /** Whether credentials came where they must not, or an opaque query came back changed. */
  readonly complaints: () => readonly string[]
  readonly close: () => void
}

const OPAQUE = 'opaque=a%2Bb%20c+d%2f'

/** One request on its way. */
interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly kind: Kind
  readonly action: Misbehaviour | undefined
  /** The fault had nothing to do here, and is kept for the next request. */
  readonly giveBack: () => void
}

/** Starts it on loopback in front of `127.0.0.1:port`. */
export async function startProxy(port: number): Promise<CountingProxy> {
  const proxy = new Proxy(port)
  await proxy.start()
  return proxy
}

class Proxy implements CountingProxy {
  readonly #port: number
  readonly #main: Server
  /** Another port: a store that blobs are redirected to, and a place for uploads. */
  readonly #side: Server
  #seen = 0
  #active: { fault: Fault; left: number }[] = []
  #wantsTokens = false
  #token = 1
  #complaints: string[] = []

  constructor(port: number) {
    this.#port = port
    this.#main = createServer((request, response) => this.#handle(request, response))
    this.#side = createServer((request, response) => this.#handleAside(request, response))
  }

  async start(): Promise<void> {
    for (const server of [this.#main, this.#side])
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  }

  get host(): string {
    return `localhost:${portOf(this.#main)}`
  }

  count(): number {
    return this.#seen
  }

  complaints(): readonly string[] {
    return this.#complaints
  }

  reset(faults: readonly Fault[] = [], tokens = false): void {
    this.#seen = 0
    this.#complaints = []
    this.#wantsTokens = tokens
    this.#active = faults.map((fault) => ({ fault, left: fault.times }))
  }

  close(): void {
    for (const server of [this.#main, this.#side]) {
      server.closeAllConnections()
      server.close()
    }
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    this.#seen++
    if (this.#wantsTokens && !this.#isAdmitted(request, response)) return
    const kind = kindOf(request)
    const size = Number(request.headers['content-length'] ?? Infinity)
    const entry = this.#active.find(
      ({ fault, left }) =>
        left > 0 &&
        (fault.kind === kind || (fault.kind === 'start' && kind === 'mount')) &&
        (kind !== 'data' || size >= (fault.minBytes ?? 0)) &&
        (fault.ofRange === undefined || request.headers.range !== undefined),
    )
    if (entry !== undefined) entry.left--
    const giveBack = (): void => void (entry !== undefined && entry.left++)
    this.#act({ request, response, kind, action: entry?.fault.do, giveBack })
  }

  /** Credentials have no business at the store; uploads come here when a location says so. */
  #handleAside(request: IncomingMessage, response: ServerResponse): void {
    this.#seen++
    if (request.headers.authorization !== undefined) this.#complaints.push('credentials at another origin')
    if (request.headers.authorization !== undefined) response.writeHead(400).end()
    else this.#act({ request, response, kind: kindOf(request), action: undefined, giveBack: () => {} })
  }

  /** The token server, and the door that asks for its tokens. */
  #isAdmitted(request: IncomingMessage, response: ServerResponse): boolean {
    if (request.url?.startsWith('/token') === true) {
      request.resume()
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ token: `t${this.#token}`, expires_in: 300 }))
      return false
    }
    if (request.headers.authorization === `Bearer t${this.#token}`) return true
    this.#demand(request, response)
    return false
  }

  #demand(request: IncomingMessage, response: ServerResponse, error = ''): void {
    const challenge = `Bearer realm="http://${this.host}/token",service="bench"${error}`
    request.resume()
    request.once('end', () => response.writeHead(401, { 'www-authenticate': challenge, 'content-length': 0 }).end())
  }

  #act(exchange: Exchange): void {
    const { request, response, kind, action } = exchange
    if (action === undefined) return this.#pass(exchange)
    if ('reset' in action) return void request.socket.resetAndDestroy()
    if ('stallAfter' in action && action.stallAfter === 0) return
    if ('status' in action) return refuse(request, response, action)
    if ('expire' in action) {
      this.#token++
      return this.#demand(request, response, ',error="invalid_token"')
    }
    if ('redirect' in action) {
      const there = action.redirect === 'loop' ? this.host : `localhost:${portOf(this.#side)}`
      return void response.writeHead(307, { location: `http://${there}${request.url}`, 'content-length': 0 }).end()
    }
    if (kind === 'data' && ('cutAfter' in action || 'stallAfter' in action)) return this.#breakUpload(exchange, action)
    this.#pass(exchange)
  }

  #pass(exchange: Exchange): void {
    const { request } = exchange
    const upstream = this.#forward(exchange)
    request.pipe(upstream)
    request.on('error', () => upstream.destroy())
  }

  #breakUpload(exchange: Exchange, action: { readonly cutAfter: number } | { readonly stallAfter: number }): void {
    const { request } = exchange
    const upstream = this.#forward(exchange)
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
    request.on('error', () => upstream.destroy())
  }

  #forward(exchange: Exchange): ReturnType<typeof forward> {
    const { request, response, action } = exchange
    const { method, url = '/', headers } = request
    const query = url.includes('opaque=') && !url.includes(OPAQUE)
    if (query) this.#complaints.push('an opaque query came back changed')
    const { authorization: _, ...rest } = headers
    const sent = { ...rest, host: this.host }
    if (action !== undefined && 'range' in action) {
      if (action.range === 'ignored') delete sent.range
      else sent.range = sent.range?.replace(/=(\d+)/, (_all, start) => `=${Number(start) + 7}`)
    }
    const upstream = forward({ host: '127.0.0.1', port: this.#port, method, path: url, headers: sent }, (answer) => {
      if (action !== undefined && 'loseAcknowledgement' in action) request.socket.resetAndDestroy()
      else this.#deliver(answer, exchange)
    })
    upstream.on('error', () => response.destroy())
    return upstream
  }

  #deliver(answer: IncomingMessage, exchange: Exchange): void {
    const { response, action } = exchange
    const headers: Record<string, string | string[] | undefined> = { ...answer.headers }
    if (action !== undefined && 'location' in action && typeof headers['location'] === 'string')
      headers['location'] = this.#relocate(headers['location'], action.location)
    if (action !== undefined && 'headers' in action) Object.assign(headers, action.headers)
    const limit = limitOf(action)
    const size = Number(headers['content-length'] ?? 0)
    // Small bodies (the configuration) are not what a fault of bodies is about.
    if (limit !== undefined && size <= limit) exchange.giveBack()
    else if (limit !== undefined && action !== undefined) return breakOff(answer, exchange, clean(headers), limit)
    if (action !== undefined && ('gzip' in action || 'extra' in action || 'corrupt' in action || 'slow' in action))
      return void change(answer, response, action, clean(headers))
    response.writeHead(answer.statusCode ?? 502, clean(headers))
    answer.pipe(response)
  }

  #relocate(location: string, how: 'relative' | 'query' | 'elsewhere'): string {
    const url = new URL(location, `http://${this.host}`)
    if (how === 'relative') return `${url.pathname}${url.search}`
    if (how === 'query') return `${url.href}${url.search === '' ? '?' : '&'}${OPAQUE}`
    return `http://127.0.0.1:${portOf(this.#side)}${url.pathname}${url.search}`
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, body = '' }: Extract<Misbehaviour, { status: number }>,
): void {
  request.resume()
  request.once('end', () => response.writeHead(status, { 'content-length': body.length, ...headers }).end(body))
}

function limitOf(action: Misbehaviour | undefined): number | undefined {
  if (action === undefined) return undefined
  if ('cutAfter' in action) return action.cutAfter
  if ('endAfter' in action) return action.endAfter
  return 'stallAfter' in action ? action.stallAfter : undefined
}

function breakOff(answer: IncomingMessage, { response, action }: Exchange, headers: Head, limit: number): void {
  if (action === undefined) return
  if ('endAfter' in action) delete headers['content-length']
  response.writeHead(answer.statusCode ?? 502, headers)
  let left = limit
  answer.on('data', (chunk: Buffer) => {
    if (left <= 0) return
    response.write(chunk.subarray(0, left))
    left -= chunk.length
    if (left > 0) return
    if ('endAfter' in action) response.end()
    else if ('cutAfter' in action) setTimeout(() => response.socket?.resetAndDestroy(), 20)
  })
}

/** Sends another body than the registry's, or the same at another pace. */
async function change(
  answer: IncomingMessage,
  response: ServerResponse,
  action: Misbehaviour,
  headers: Head,
): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks)
  delete headers['content-length']
  if ('gzip' in action) headers['content-encoding'] = 'gzip'
  response.writeHead(answer.statusCode ?? 502, headers)
  if ('gzip' in action) response.end(gzipSync(body))
  else if ('extra' in action) response.end(Buffer.concat([body, Buffer.from('extra bytes')]))
  else if ('slow' in action) {
    const step = Math.ceil(body.length / action.slow)
    for (let at = 0; at < body.length; at += step) {
      response.write(body.subarray(at, at + step))
      await delay(50)
    }
    response.end()
  } else {
    body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 1
    response.end(body)
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

type Head = Record<string, string | string[]>

function clean(headers: Readonly<Record<string, string | string[] | undefined>>): Head {
  return Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string | string[]] => entry[1] !== undefined),
  )
}
