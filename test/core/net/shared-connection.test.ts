import { readFileSync } from 'node:fs'
import { createSecureServer, constants, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import { createServer as createOldServer } from 'node:https'
import { createServer as createPlainServer, type RequestListener } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { makeHttp, type Http, type HttpResponse } from '../../../src/core/http.ts'

const TLS = join(import.meta.dirname, '../../../fixtures/tls')
const LIMIT = 1 << 24

type Handler = (request: Http2ServerRequest, response: Http2ServerResponse, count: number) => void

interface TestServer {
  readonly origin: string
  readonly http: Http
  readonly protocols: string[]
  connections: number
}

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

async function serve(handler: Handler, options: { readonly isOld?: boolean } = {}): Promise<TestServer> {
  let count = 0
  const sockets = new Set<Socket>()
  const answer = (request: Http2ServerRequest, response: Http2ServerResponse): void => {
    state.protocols.push(request.httpVersion)
    handler(request, response, ++count)
  }
  const identity = { key: readFileSync(join(TLS, 'server.key')), cert: readFileSync(join(TLS, 'server.crt')) }
  const server =
    options.isOld === true
      ? createOldServer(identity, answer as unknown as RequestListener)
      : createSecureServer({ ...identity, allowHTTP1: true, settings: { maxConcurrentStreams: 50 } }, answer)
  server.on('connection', (socket: Socket) => {
    state.connections++
    sockets.add(socket)
  })
  server.on('sessionError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const { port } = server.address() as AddressInfo
  const state: TestServer = {
    origin: `https://localhost:${port}`,
    protocols: [],
    connections: 0,
    http: makeHttp({
      env: {},
      retry: { tries: 3, baseMs: 1, capMs: 2 },
      tls: () => ({ ca: [readFileSync(join(TLS, 'ca.crt'), 'utf8')] }),
    }),
  }
  return state
}

const get = (server: TestServer, path = '/'): Promise<HttpResponse> =>
  server.http({ url: `${server.origin}${path}`, decode: false, isShared: true })

async function text(response: HttpResponse): Promise<string> {
  return (await response.bytes(LIMIT)).toString('utf8')
}

test('makeHttp() sends shared requests over one connection, all at once', async () => {
  const waiting: Http2ServerResponse[] = []
  const server = await serve((request, response) => {
    waiting.push(response)
    // Answers only when all have arrived, which one exchange after the other could never bring about.
    if (waiting.length === 30) for (const each of waiting) each.end(String(request.headers['x-a']))
  })
  const answers = await Promise.all(
    Array.from({ length: 30 }, () =>
      server.http({ url: `${server.origin}/`, decode: false, isShared: true, headers: { 'X-A': 'b' } }),
    ),
  )
  expect(await Promise.all(answers.map(text))).toEqual(Array.from({ length: 30 }, () => 'b'))
  expect(new Set(answers.map(({ sharedBy }) => sharedBy))).toEqual(new Set([50]))
  expect(server.connections).toBe(1)
  expect(new Set(server.protocols)).toEqual(new Set(['2.0']))
})

test('makeHttp() uses the same connection for HTTP/1.1 when the server knows nothing newer', async () => {
  const server = await serve((request, response) => void response.end(request.url), { isOld: true })
  expect(await text(await get(server, '/a'))).toBe('/a')
  const second = await get(server, '/b')
  expect(await text(second)).toBe('/b')
  expect(second.sharedBy).toBeUndefined()
  expect(server.protocols).toEqual(['1.1', '1.1'])
  expect(server.connections).toBe(1)
})

test.each([true, false])(
  'makeHttp() follows no redirect from https to plain http, shared connection or not',
  async (isShared) => {
    let plainRequests = 0
    const plain = createPlainServer((_, response) => {
      plainRequests++
      response.end('over the open wire')
    })
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve))
    closing.push(() => plain.close())
    const location = `http://localhost:${(plain.address() as AddressInfo).port}/`
    const server = await serve((_, response) => void response.writeHead(302, { location }).end())
    await expect(server.http({ url: `${server.origin}/`, decode: false, isShared })).rejects.toMatchObject({
      code: 'NETWORK_REFUSED',
    })
    expect(plainRequests).toBe(0)
  },
)

test('makeHttp() reads large answers whole, also when one is left half read', async () => {
  const body = Buffer.alloc(9 << 20, 'x')
  const server = await serve((_, response) => void response.end(body))
  const [whole, half] = await Promise.all([get(server), get(server)])
  for await (const chunk of half.body) {
    expect(chunk.length).toBeGreaterThan(0)
    break
  }
  expect((await whole.bytes(LIMIT)).equals(body)).toBe(true)
  expect(await text(await get(server))).toHaveLength(body.length)
  expect(server.connections).toBe(1)
})

test('makeHttp() asks again on a new connection when a shared one breaks', async () => {
  const server = await serve((request, response, count) => {
    if (count === 1) request.stream.session?.destroy()
    else response.end('second')
  })
  expect(await text(await get(server))).toBe('second')
  expect(server.connections).toBe(2)
})

test('makeHttp() asks again when an answer breaks off in the middle', async () => {
  const server = await serve((request, response, count) => {
    if (count > 1) return void response.end('whole')
    response.writeHead(200, { 'content-length': '5' })
    response.write('wh', () => request.stream.session?.destroy())
  })
  expect(await text(await get(server))).toBe('whole')
})

test('makeHttp() follows a server that refuses a stream or says goodbye', async () => {
  const server = await serve((request, response, count) => {
    if (count === 1) request.stream.close(constants.NGHTTP2_REFUSED_STREAM)
    else if (count === 2) response.end('last', () => request.stream.session?.goaway())
    else response.end('fresh')
  })
  expect(await text(await get(server))).toBe('last')
  expect(await text(await get(server))).toBe('fresh')
})

test('makeHttp() falls back to HTTP/1.1 when the server demands it', async () => {
  const server = await serve((request, response) => {
    if (request.httpVersion === '2.0') request.stream.close(constants.NGHTTP2_HTTP_1_1_REQUIRED)
    else response.end('old')
  })
  expect(await text(await get(server))).toBe('old')
  expect(await text(await get(server))).toBe('old')
  expect(server.protocols).toEqual(['2.0', '1.1', '1.1'])
})

test('makeHttp() ends a shared request when its caller gives up, and nobody else', async () => {
  const server = await serve((request, response) => {
    if (request.url !== '/slow') response.end('quick')
  })
  const stop = new AbortController()
  const slow = server.http({ url: `${server.origin}/slow`, decode: false, isShared: true, signal: stop.signal })
  expect(await text(await get(server, '/quick'))).toBe('quick')
  stop.abort(new Error('enough'))
  await expect(slow).rejects.toThrow('enough')
  expect(await text(await get(server, '/quick'))).toBe('quick')
  expect(server.connections).toBe(1)
})

test('makeHttp() keeps a request that does not ask to share on a connection of its own', async () => {
  const server = await serve((_, response) => void response.end('ok'))
  expect(await text(await server.http({ url: server.origin, decode: false }))).toBe('ok')
  expect(server.protocols).toEqual(['1.1'])
})
