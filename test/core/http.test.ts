import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import type { AddressInfo } from 'node:net'
import { afterAll, describe, expect, test } from 'vitest'
import { openBytes } from '../../src/core/bytes.ts'
import { makeHttp, maskUrl, type HttpOptions } from '../../src/core/http.ts'

type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void

const closing: (() => void)[] = []
afterAll(() => closing.forEach((close) => close()))

/** A server on loopback whose handler is told how many requests came before. */
async function serve(handler: Handler, host = '127.0.0.1'): Promise<{ url: string; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    handler(request, response, requests.length)
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  closing.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://${host}:${(server.address() as AddressInfo).port}`, requests }
}

/** A door that does not really wait; `waits` are the milliseconds it would have waited. */
function quick(options: HttpOptions = {}) {
  const waits: number[] = []
  let now = 0
  const waiting = {
    sleep: async (ms: number) => {
      waits.push(ms)
      now += ms
    },
    random: () => 1,
    now: () => now,
  }
  return { http: makeHttp({ env: {}, waiting, ...options }), waits }
}

async function readBody(request: IncomingMessage): Promise<string> {
  let text = ''
  try {
    for await (const chunk of request) text += String(chunk)
  } catch {
    // The client went away, as some of these tests want it to.
  }
  return text
}

describe('makeHttp() retries', () => {
  test('503 is asked again with growing waits, and the count is in the answer', async () => {
    const server = await serve((_, response, count) => response.writeHead(count < 3 ? 503 : 200).end('ok'))
    const { http, waits } = quick()
    const response = await http({ url: server.url })
    expect([response.status, response.tries, waits]).toEqual([200, 3, [250, 500]])
    expect(String(await response.bytes(10))).toBe('ok')
  })

  test('gives the last answer back after the last try', async () => {
    const server = await serve((_, response) => response.writeHead(503).end())
    const { http } = quick({ retry: { tries: 3 } })
    const response = await http({ url: server.url })
    expect([response.status, response.tries, server.requests.length]).toEqual([503, 3, 3])
  })

  test('a host that nobody has reached is given up sooner than one that has answered', async () => {
    const server = await serve((_, response) => response.writeHead(200, { connection: 'close' }).end('ok'))
    const { port } = new URL(server.url)
    let now = 0
    let lookups = 0
    let fails = true
    const lookup = async () => {
      lookups++
      if (!fails) return [{ address: '127.0.0.1', family: 4 }]
      now += 8_000
      throw Object.assign(new Error('getaddrinfo EAI_AGAIN'), { code: 'EAI_AGAIN', syscall: 'getaddrinfo' })
    }
    const waiting = { sleep: async (ms: number) => void (now += ms), random: () => 1, now: () => now }
    const http = makeHttp({ env: {}, waiting, lookup })
    const ask = () => http({ url: `http://index.test:${port}/` })
    await expect(ask()).rejects.toMatchObject({ code: 'NETWORK_FAILED', message: expect.stringContaining('2 times') })
    expect(lookups).toBe(2)
    fails = false
    await (await ask()).bytes(10)
    fails = true
    await expect(ask()).rejects.toMatchObject({ message: expect.stringContaining('5 times') })
  })

  test('Retry-After in seconds and as a date holds back every request to the host', async () => {
    const server = await serve((_, response, count) => {
      if (count === 1) response.writeHead(429, { 'retry-after': '7' }).end()
      else if (count === 2) response.writeHead(429, { 'retry-after': new Date(17_000).toUTCString() }).end()
      else response.end('ok')
    })
    const { http, waits } = quick()
    expect((await http({ url: server.url })).status).toBe(200)
    expect(waits).toEqual([7000, 10_000])
  })

  test('Retry-After beyond the total bound is not waited for', async () => {
    const server = await serve((_, response) => response.writeHead(429, { 'retry-after': '3600' }).end())
    const { http, waits } = quick()
    expect((await http({ url: server.url })).status).toBe(429)
    expect(waits).toEqual([])
  })

  test('a POST is sent once unless asked otherwise', async () => {
    const server = await serve((_, response) => response.writeHead(503).end())
    const { http } = quick()
    await http({ url: server.url, method: 'POST', body: 'x' })
    expect(server.requests.length).toBe(1)
    await http({ url: server.url, method: 'POST', body: 'x', retry: true })
    expect(server.requests.length).toBe(6)
  })

  test('a body is opened again for each try', async () => {
    const bodies: string[] = []
    const server = await serve((request, response, count) => {
      void readBody(request).then((body) => {
        bodies.push(body)
        response.writeHead(count === 1 ? 500 : 201).end()
      })
    })
    const { http } = quick()
    const response = await http({ url: server.url, method: 'PUT', body: openBytes(Buffer.from('blob')) })
    expect([response.status, bodies]).toEqual([201, ['blob', 'blob']])
  })

  test('a reset connection is tried again and the final error counts the tries', async () => {
    const server = await serve((request) => request.socket.destroy())
    const { http } = quick({ retry: { tries: 4 } })
    await expect(http({ url: `${server.url}/a?token=secret` })).rejects.toMatchObject({
      code: 'NETWORK_FAILED',
      message: expect.stringMatching(/a\?\*\*\* \(tried 4 times\)/),
      data: { tries: 4 },
    })
    expect(server.requests.length).toBe(4)
  })

  test('an error of the body source comes out as it is and is not tried again', async () => {
    const server = await serve((request, response) => void readBody(request).then(() => response.end()))
    const { http } = quick()
    const broken = new RangeError('source')
    let opened = 0
    const body = async function* () {
      opened++
      yield Buffer.from('x')
      throw broken
    }
    await expect(http({ url: server.url, method: 'PUT', body })).rejects.toBe(broken)
    expect(opened).toBe(1)
  })

  test('bytes() asks again for a body that breaks off', async () => {
    const server = await serve((_, response, count) => {
      response.writeHead(200, { 'content-length': '4' })
      if (count === 1) response.write('da', () => response.destroy())
      else response.end('data')
    })
    const { http } = quick()
    expect(String(await (await http({ url: server.url })).bytes(100))).toBe('data')
  })

  test('bytes() refuses more than its limit', async () => {
    const server = await serve((_, response) => response.end('x'.repeat(1000)))
    const { http } = quick()
    await expect((await http({ url: server.url })).bytes(100)).rejects.toMatchObject({ code: 'NETWORK_FAILED' })
  })
})

describe('makeHttp() patience', () => {
  /** Long enough for a busy machine to bring what does come, and no longer: each test waits for it once or twice. */
  const patienceMs = 750

  test('a server that never answers is given up and asked again', async () => {
    const server = await serve((_, response, count) => void (count > 1 && response.end('ok')))
    const { http } = quick({ patienceMs })
    expect((await http({ url: server.url })).tries).toBe(2)
  })

  test('a body that stalls ends with an error that names the address', async () => {
    const server = await serve((_, response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('x')
    })
    const { http } = quick({ patienceMs, retry: false })
    for (const decode of [true, false]) {
      const response = await http({ url: server.url, decode })
      const read = (async () => {
        for await (const _ of response.body);
      })()
      await expect(read).rejects.toMatchObject({ code: 'NETWORK_FAILED', data: { reason: 'ETIMEDOUT' } })
    }
  })

  test('a slow consumer is not taken for a stalled server', async () => {
    const server = await serve((_, response) => void response.end(Buffer.alloc(3_000_000)))
    const { http } = quick({ patienceMs })
    let size = 0
    for await (const chunk of (await http({ url: server.url, decode: false })).body) {
      if (size === 0) await new Promise((resolve) => setTimeout(resolve, 2 * patienceMs))
      size += chunk.length
    }
    expect(size).toBe(3_000_000)
  })

  test('a server that stops reading a body is given up', async () => {
    const server = await serve((request, response, count) => {
      if (count === 1) request.pause()
      else void readBody(request).then(() => response.end())
    })
    const { http } = quick({ patienceMs })
    const chunk = Buffer.alloc(1 << 20)
    const body = async function* () {
      for (let i = 0; i < 16; i++) yield chunk
    }
    expect((await http({ url: server.url, method: 'PUT', body })).tries).toBe(2)
  })

  test('an aborted signal ends a request at once with its reason', async () => {
    const server = await serve(() => {})
    const { http } = quick()
    for (const decode of [true, false]) {
      const reason = new Error('stop')
      const controller = new AbortController()
      setTimeout(() => controller.abort(reason), 20)
      await expect(http({ url: server.url, decode, signal: controller.signal })).rejects.toBe(reason)
    }
  })
})

describe('makeHttp() redirects', () => {
  test('credentials stay with their origin, port included; Range and Accept go along', async () => {
    const store = await serve((_, response) => response.end('blob'))
    const server = await serve((_, response) =>
      response.writeHead(307, { location: `${store.url}/x?sig=a%2Db+c` }).end(),
    )
    const { http } = quick()
    const headers = { Authorization: 'Bearer secret', Cookie: 'c', 'X-Token': 't', Range: 'bytes=0-1', Accept: 'a/b' }
    const response = await http({ url: server.url, headers })
    expect(response.url).toBe(`${store.url}/x?sig=a%2Db+c`)
    expect(store.requests[0]?.url).toBe('/x?sig=a%2Db+c')
    const sent = store.requests[0]?.headers ?? {}
    expect([sent.authorization, sent.cookie, sent['x-token'], sent.range, sent.accept]).toEqual([
      undefined,
      undefined,
      undefined,
      'bytes=0-1',
      'a/b',
    ])
  })

  test('credentials stay on for a redirect within the origin', async () => {
    const server = await serve((_, response, count) =>
      count === 1 ? response.writeHead(302, { location: '/b' }).end() : response.end(),
    )
    const { http } = quick()
    await http({ url: server.url, headers: { authorization: 'Basic x' } })
    expect(server.requests[1]?.headers.authorization).toBe('Basic x')
  })

  test('a loop ends after 10 hops', async () => {
    const server = await serve((_, response) => response.writeHead(302, { location: '/again' }).end())
    const { http } = quick()
    await expect(http({ url: server.url })).rejects.toMatchObject({ code: 'NETWORK_REFUSED' })
    expect(server.requests.length).toBe(11)
  })

  test.each(['file:///etc/passwd', 'ftp://127.0.0.1/x', 'gopher://x'])('refuses to follow %s', async (location) => {
    const server = await serve((_, response) => response.writeHead(302, { location }).end())
    const { http } = quick()
    await expect(http({ url: server.url })).rejects.toMatchObject({ code: 'NETWORK_REFUSED' })
  })

  test('a PUT is followed on 307 with its body, on 302 it is not', async () => {
    const bodies: string[] = []
    const server = await serve((request, response, count) => {
      void readBody(request).then((body) => {
        bodies.push(`${request.method} ${request.url} ${body}`)
        if (count === 1) response.writeHead(307, { location: '/b' }).end()
        else if (count === 2) response.writeHead(302, { location: '/c' }).end()
        else response.end()
      })
    })
    const { http } = quick()
    const response = await http({ url: `${server.url}/a`, method: 'PUT', body: 'x', redirect: 'follow' })
    expect([response.status, bodies]).toEqual([302, ['PUT /a x', 'PUT /b x']])
  })
})

describe('makeHttp() and private addresses', () => {
  // 127.0.0.1 plays the public internet, 127.0.0.2 the inner network.
  const isPublicAddress = (address: string): boolean => address !== '127.0.0.2'

  test('a public server may not redirect into the private network', async () => {
    const inner = await serve((_, response) => response.end('metadata'), '127.0.0.2')
    const server = await serve((_, response) => response.writeHead(307, { location: inner.url }).end())
    const { http } = quick({ isPublicAddress })
    await expect(http({ url: server.url })).rejects.toMatchObject({ code: 'NETWORK_REFUSED' })
    expect(inner.requests.length).toBe(0)
  })

  test('what a name resolves to is judged, not the name', async () => {
    const inner = await serve((_, response) => response.end('metadata'), '127.0.0.2')
    const { port } = new URL(inner.url)
    const lookup = async (name: string) => [{ address: name === 'inner.test' ? '127.0.0.2' : '127.0.0.1', family: 4 }]
    const { http } = quick({ isPublicAddress, lookup })
    const url = `http://inner.test:${port}/`
    await expect(http({ url, via: 'http://public.test/' })).rejects.toMatchObject({ code: 'NETWORK_REFUSED' })
    expect((await http({ url, via: 'http://inner.test/' })).status).toBe(200)
    expect((await http({ url })).status).toBe(200)
    const allowed = quick({ isPublicAddress, lookup, env: { LAYERWRIGHT_PRIVATE_HOSTS: 'inner.test' } })
    expect((await allowed.http({ url, via: 'http://public.test/' })).status).toBe(200)
  })

  test('a private server may redirect within the private network', async () => {
    const inner = await serve((_, response) => response.end('ok'), '127.0.0.2')
    const server = await serve((_, response) => response.writeHead(307, { location: inner.url }).end(), '127.0.0.2')
    const { http } = quick({ isPublicAddress })
    expect((await http({ url: server.url })).status).toBe(200)
  })
})

describe('makeHttp() bodies', () => {
  test('gzip is undone unless decode is false', async () => {
    const packed = gzipSync('text')
    const server = await serve((_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(packed))
    const { http } = quick()
    expect(String(await (await http({ url: server.url })).bytes(99))).toBe('text')
    expect(await (await http({ url: server.url, decode: false })).bytes(99)).toEqual(packed)
    expect(server.requests[1]?.headers['accept-encoding']).toBe('identity')
  })

  test('an early refusal of an upload is an answer, not a broken connection', async () => {
    const server = await serve((_, response) => response.writeHead(413, { connection: 'close' }).end('too large'))
    const { http } = quick({ retry: false })
    const body = async function* () {
      for (let i = 0; i < 64; i++) yield Buffer.alloc(1 << 20)
    }
    const response = await http({ url: server.url, method: 'PUT', body })
    expect(response.status).toBe(413)
  })

  test('a connection is used again', async () => {
    const ports = new Set<number | undefined>()
    const server = await serve((request, response) => {
      ports.add(request.socket.remotePort)
      response.end('x')
    })
    const { http } = quick()
    for (const decode of [true, false, true]) await (await http({ url: server.url, decode })).bytes(9)
    await (await http({ url: server.url })).discard()
    await http({ url: server.url, method: 'HEAD' })
    expect(ports.size).toBe(1)
  })
})

describe('makeHttp() and proxies', () => {
  test('a plain request names the whole URL to the proxy and proves itself', async () => {
    const proxy = await serve((_, response) => response.end('via proxy'))
    const env = { http_proxy: proxy.url.replace('http://', 'http://me:p%40ss@'), NO_PROXY: 'direct.test' }
    const { http } = quick({ env })
    for (const decode of [true, false]) {
      const response = await http({ url: 'http://registry.test/v2/?a=b', decode })
      expect(String(await response.bytes(99))).toBe('via proxy')
    }
    const [first, second] = proxy.requests
    expect([first?.url, second?.url]).toEqual(['http://registry.test/v2/?a=b', 'http://registry.test/v2/?a=b'])
    expect(first?.headers.host).toBe('registry.test')
    expect(first?.headers['proxy-authorization']).toBe(`Basic ${Buffer.from('me:p@ss').toString('base64')}`)
  })
})

test('maskUrl() hides user, password and query', () => {
  expect(maskUrl('https://me:pw@host:1/path?token=1')).toBe('https://***@host:1/path?***')
  expect(maskUrl('no url //me:pw@host')).toBe('no url //***@host')
})

test('makeHttp() names the port in the Host header, which registries build their locations from', async () => {
  const server = await serve((_, response) => response.end())
  const { http } = quick()
  for (const decode of [true, false]) await (await http({ url: server.url, decode })).discard()
  expect(server.requests.map(({ headers }) => headers.host)).toEqual(Array(2).fill(new URL(server.url).host))
})
