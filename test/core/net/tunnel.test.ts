import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import { connect, type AddressInfo } from 'node:net'
import { readFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Digester, digestOf } from '../../../src/core/digest.ts'
import { makeHttp, type HttpResponse } from '../../../src/core/http.ts'

const path = (name: string): string => fileURLToPath(new URL(`../../../fixtures/tls/${name}`, import.meta.url))
const bytes = Buffer.from(Array.from({ length: 3 << 20 }, (_, index) => (index * 17 + (index >> 8)) & 255))

let origin: TlsServer
let proxy: Server
/** Tunnels are no connections of the server's any more. */
const tunnels = new Set<Duplex>()
/** What the proxy was asked for, and how it was proven to. */
let asked: { readonly target: string | undefined; readonly authorization: string | undefined }[] = []

const portOf = (server: Server | TlsServer): number => (server.address() as AddressInfo).port

beforeEach(async () => {
  asked = []
  origin = createTlsServer(
    { key: readFileSync(path('server.key')), cert: readFileSync(path('server.crt')) },
    (request, response) => {
      if (request.method === 'GET') response.end(bytes)
      else request.on('data', () => {}).on('end', () => response.end(request.headers['content-length']))
    },
  )
  proxy = createServer((_, response) => response.writeHead(500).end())
  proxy.on('connect', (request, socket) => {
    const authorization = request.headers['proxy-authorization']
    asked.push({ target: request.url, authorization })
    tunnels.add(socket)
    socket.on('error', () => {})
    if (authorization !== `Basic ${Buffer.from('me:p@ss').toString('base64')}`) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
      return
    }
    // Whatever name is asked for, the origin is meant: its own name resolves nowhere.
    const through = connect(portOf(origin), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      through.pipe(socket).pipe(through)
    })
    through.on('error', () => socket.destroy())
  })
  for (const server of [origin, proxy]) await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterEach(async () => {
  for (const socket of tunnels) socket.destroy()
  tunnels.clear()
  for (const server of [origin, proxy]) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

async function digest(response: HttpResponse): Promise<string> {
  const digester = new Digester()
  for await (const piece of response.body) digester.update(piece)
  return digester.digest()
}

/** The certificate is for another name than the one that only the proxy knows. */
const tls = (): { readonly insecure: true } => ({ insecure: true })

describe('makeHttp() through a CONNECT proxy', () => {
  const http = (user: string) =>
    makeHttp({ env: { HTTPS_PROXY: `http://${user}@127.0.0.1:${portOf(proxy)}` }, retry: false, tls })

  test.each([false, true])('proves itself and reads large answers (bulk: %s)', async (bulk) => {
    const response = await http('me:p%40ss')({ url: 'https://registry.test/blob', decode: false, bulk })
    expect(await digest(response)).toBe(digestOf(bytes))
    expect(asked).toEqual([{ target: 'registry.test:443', authorization: expect.stringMatching(/^Basic /) }])
  })

  test('uploads', async () => {
    const response = await http('me:p%40ss')({
      method: 'PUT',
      url: 'https://registry.test:8443/blob',
      headers: { 'content-length': String(bytes.length) },
      body: async function* () {
        yield bytes
      },
    })
    expect(String(await response.bytes(100))).toBe(String(bytes.length))
    expect(asked[0]?.target).toBe('registry.test:8443')
  })

  test('says what to do when the proxy wants another password, and does not show it', async () => {
    const failing = http('me:wrong')({ url: 'https://registry.test/blob' })
    const error: unknown = await failing.catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'NETWORK_REFUSED', hint: expect.stringContaining('http://user:password@') })
    expect(JSON.stringify([error, String(error)])).not.toContain('wrong')
  })
})

test.each(['https://registry.test/blob', 'http://registry.test/blob'])(
  'makeHttp() says that it is the proxy which cannot be reached: %s',
  async (url) => {
    const closed = portOf(proxy)
    await new Promise((resolve) => proxy.close(resolve))
    const place = `http://me:hidden@127.0.0.1:${closed}`
    const http = makeHttp({ env: { HTTPS_PROXY: place, http_proxy: place }, retry: false })
    const error: unknown = await http({ url }).catch((reason: unknown) => reason)
    proxy.listen(0, '127.0.0.1')
    expect(error).toMatchObject({
      code: 'NETWORK_FAILED',
      message: expect.stringContaining(`The proxy 127.0.0.1:${closed} cannot be reached: connect ECONNREFUSED`),
      hint: expect.stringContaining('NO_PROXY'),
      data: { reason: 'ECONNREFUSED' },
    })
    expect(JSON.stringify([error, String(error)])).not.toContain('hidden')
  },
)

describe('makeHttp() over TLS', () => {
  test('reads large answers over a connection of their own, from a server that is trusted', async () => {
    const http = makeHttp({ env: { SSL_CERT_FILE: path('ca.crt') }, retry: false })
    const response = await http({ url: `https://localhost:${portOf(origin)}/blob`, decode: false, bulk: true })
    expect(await digest(response)).toBe(digestOf(bytes))
  })

  test('does not from one that is not', async () => {
    const http = makeHttp({ env: {}, retry: false })
    const answer = http({ url: `https://localhost:${portOf(origin)}/blob`, decode: false, bulk: true })
    await expect(answer).rejects.toMatchObject({
      code: 'CERTIFICATE_INVALID',
      hint: expect.stringContaining('SSL_CERT_FILE'),
    })
  })

  test('says that a certificate is for another name', async () => {
    const lookup = async () => [{ address: '127.0.0.1', family: 4 }]
    const http = makeHttp({ env: { SSL_CERT_FILE: path('ca.crt') }, retry: false, lookup })
    await expect(http({ url: `https://other.test:${portOf(origin)}/blob` })).rejects.toMatchObject({
      code: 'CERTIFICATE_INVALID',
      hint: expect.stringContaining('another name'),
    })
  })

  test('judges what a name resolves to, for large answers, too', async () => {
    const lookup = async (name: string) => [
      { address: name === 'inside.test' ? '127.0.0.1' : '93.184.216.34', family: 4 },
    ]
    const http = makeHttp({ env: {}, retry: false, lookup })
    const url = `https://inside.test:${portOf(origin)}/blob`
    const answer = http({ url, via: 'https://registry.test/', decode: false, bulk: true })
    await expect(answer).rejects.toMatchObject({ code: 'NETWORK_REFUSED' })
  })

  test('judges the address that a public server leads to, for large answers, too', async () => {
    const http = makeHttp({ env: {}, retry: false, lookup: async () => [{ address: '93.184.216.34', family: 4 }] })
    const answer = http({
      url: `https://127.0.0.1:${portOf(origin)}/blob`,
      via: 'https://registry.test/',
      decode: false,
      bulk: true,
    })
    await expect(answer).rejects.toMatchObject({ code: 'NETWORK_REFUSED' })
  })
})
