import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import type { HealthChange } from '../../src/route/router.ts'
import { serveRouter, type ServedRouter } from '../../src/route/serve-router.ts'
import { routeTableSchema } from '../../src/route/table.ts'
import {
  ask,
  bodyOf,
  chiSquare,
  seededRandom,
  startBackend,
  type Answered,
  type Backend,
  type BackendHandler,
} from '../support/route-backends.ts'
import { freePort } from '../support/docker-registry.ts'

const closing: { close(graceMs?: number): Promise<void> }[] = []
afterEach(async () => {
  for (const one of closing.splice(0).toReversed()) await one.close(0)
})

async function backend(name: string, handler?: BackendHandler, port?: number): Promise<Backend> {
  const started = await startBackend(name, handler, port)
  closing.push(started)
  return started
}

type Shares = Readonly<Record<string, readonly [url: string | readonly string[], weight: number]>>

function tableOf(shares: Shares, rest: object = {}): ReturnType<typeof routeTableSchema.parse> {
  const versions = Object.fromEntries(
    Object.entries(shares).map(([name, [url, weight]]) => [name, { urls: [url].flat(), weight }]),
  )
  return routeTableSchema.parse({ versions, health: { interval_seconds: 0 }, ...rest })
}

async function route(shares: Shares, rest: object = {}, now?: () => number): Promise<ServedRouter> {
  const served = await serveRouter({ table: tableOf(shares, rest), random: seededRandom(7), now })
  closing.push(served)
  return served
}

/** Two versions behind a router, 90 to 10 unless said otherwise. */
async function two(rest: object = {}, weights: readonly [number, number] = [90, 10]) {
  const [stable, canary] = [await backend('stable'), await backend('canary')]
  const served = await route({ stable: [stable.url, weights[0]], canary: [canary.url, weights[1]] }, rest)
  return { stable, canary, served, url: served.url }
}

const pem = (name: string): Promise<Buffer> => readFile(new URL(`../../fixtures/tls/${name}`, import.meta.url))

const json = { 'content-type': 'application/json' }

describe('shares', () => {
  test('10,000 requests are split by weight, and every answer names its version', async () => {
    const { url } = await two({}, [9, 1])
    const counts = { stable: 0, canary: 0 }
    for (let done = 0; done < 10_000; done += 50) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => ask(`${url}/predictions`)))
      for (const { version, body } of answers) {
        expect(version).toBe(body)
        counts[body as keyof typeof counts]++
      }
    }
    // 0.1 % of fair draws are beyond it, with one degree of freedom; these are always the same ones.
    expect(chiSquare([counts.stable, counts.canary], [9, 1])).toBeLessThan(10.83)
  })

  test('no request fails while weights and versions change', async () => {
    const { stable, canary, served, url } = await two()
    const over = new AbortController()
    const asking = Array.from({ length: 8 }, async () => {
      const answers: Answered[] = []
      while (!over.signal.aborted)
        answers.push(await ask(`${url}/predictions`, { method: 'POST', body: '{}', headers: json }))
      return answers
    })
    for (let turn = 0; turn < 40; turn++) {
      const weight = (turn % 5) * 25
      const shares = { stable: [stable.url, 100 - weight], canary: [canary.url, weight] } as const
      served.router.replace(tableOf(turn % 4 === 3 ? { canary: [canary.url, 1] } : shares))
      await ask(`${url}/route/status`)
    }
    over.abort()
    const answers = (await Promise.all(asking)).flat()
    expect(answers.length).toBeGreaterThan(8)
    expect(answers.filter(({ status }) => status !== 200)).toEqual([])
  })
})

describe('who answers', () => {
  test.each([
    [{ sticky: { header: 'X-User' } }, (key: string) => ({ 'x-user': key })],
    [{ sticky: { cookie: 'session' } }, (key: string) => ({ cookie: `other=1; session=${key}; more=2` })],
  ])('%j: a key stays on its side', async (rest, headersOf) => {
    const { served, stable, canary, url } = await two(rest, [50, 50])
    const keys = Array.from({ length: 60 }, (_, at) => `user-${at}`)
    const round = () => Promise.all(keys.map(async (key) => (await ask(url, { headers: headersOf(key) })).body))
    const first = await round()
    expect(new Set(first)).toEqual(new Set(['stable', 'canary']))
    expect(await round()).toEqual(first)
    served.router.replace(tableOf({ stable: [stable.url, 50], canary: [canary.url, 100] }, rest))
    const after = await round()
    // Those that were drawn to what grew stay there.
    expect(after.filter((side, at) => side === 'stable' && first[at] === 'canary')).toEqual([])
  })

  test('the version that a request names, even without a share; one that there is not is 404', async () => {
    const { url, canary } = await two({}, [1, 0])
    for (let turn = 0; turn < 5; turn++)
      expect((await ask(url, { headers: { 'x-model-version': 'canary' } })).body).toBe('canary')
    const { status, body } = await ask(url, { headers: { 'x-model-version': 'v9' } })
    expect({ status, body }).toEqual({
      status: 404,
      body: '{"detail":"There is no such version of the model; there are stable, canary"}',
    })
    expect(canary.seen).toHaveLength(5)
  })

  test('the version that an id began with, whoever asks, whatever the weights are by then', async () => {
    const { url, served, stable, canary } = await two({}, [1, 1])
    const named = { ...json, 'x-model-version': 'canary' }
    await ask(`${url}/predictions/one`, { method: 'PUT', headers: named, body: '{}' })
    const begun = await ask(`${url}/predictions/two`, { method: 'PUT', headers: json, body: '{}' })
    served.router.replace(tableOf({ stable: [stable.url, 1000], canary: [canary.url, 1] }))
    for (const [id, side] of [
      ['one', 'canary'],
      ['two', begun.version],
    ])
      for (const [method, path] of [
        ['PUT', ''],
        ['GET', ''],
        ['POST', '/cancel'],
      ] as const)
        expect((await ask(`${url}/predictions/${id}${path}`, { method })).version).toBe(side)
  })

  test('whoever knows an id that nobody remembers: the others are asked', async () => {
    const knows =
      (name: string, id: string): BackendHandler =>
      (request, response) => {
        const isKnown = request.url?.includes(id) === true
        request.resume()
        response.writeHead(isKnown ? 200 : 404).end(isKnown ? name : 'unknown')
      }
    const [a, b] = [await backend('a', knows('a', 'ida')), await backend('b', knows('b', 'idb'))]
    const { url } = await route({ a: [a.url, 1], b: [b.url, 0] })
    expect(await ask(`${url}/predictions/idb`)).toMatchObject({ status: 200, version: 'b', body: 'b' })
    expect(await ask(`${url}/predictions/idb2/cancel`, { method: 'POST' })).toMatchObject({ version: 'b' })
    expect(await ask(`${url}/predictions/ida`)).toMatchObject({ status: 200, version: 'a' })
    expect(await ask(`${url}/predictions/idc`)).toMatchObject({ status: 404, body: 'unknown' })
    expect(await ask(`${url}/predictions/idb3`, { method: 'PUT', body: '{}' })).toMatchObject({
      status: 404,
      version: 'a',
    })
  })
})

describe('what is passed on', () => {
  test('method, path, query, body and headers, but not those of the connection', async () => {
    const { stable, url } = await two({}, [1, 0])
    const headers = { ...json, 'x-mine': 'a', connection: 'keep-alive, x-hop', 'x-hop': '1', te: 'trailers' }
    await ask(`${url}/predictions?a=1&b=%2F`, { method: 'POST', headers, body: '{"input":{}}' })
    const [seen] = stable.seen
    expect(seen).toMatchObject({ method: 'POST', url: '/predictions?a=1&b=%2F', body: '{"input":{}}' })
    expect(seen?.headers).toMatchObject({
      'x-mine': 'a',
      'content-length': '12',
      host: new URL(stable.url).host,
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': new URL(url).host,
    })
    expect(seen?.headers).not.toHaveProperty('x-hop')
    expect(seen?.headers).not.toHaveProperty('te')
  })

  test('status and headers of the answer, each as often as it came; its own version under another name', async () => {
    const a = await backend('a', (request, response) => {
      request.resume()
      response.writeHead(
        201,
        'Made',
        [
          ['set-cookie', 'a=1'],
          ['set-cookie', 'b=2'],
          ['x-model-version', 'sha256:1'],
        ].flat(),
      )
      response.end()
    })
    const { url } = await route({ a: [a.url, 1] })
    const { status, headers, version } = await ask(url, { method: 'POST' })
    expect({ status, version }).toEqual({ status: 201, version: 'a' })
    expect(headers).toMatchObject({ 'set-cookie': ['a=1', 'b=2'], 'x-upstream-model-version': 'sha256:1' })
  })

  const other = 'GET /other HTTP/1.1\r\nhost: h\r\n\r\n'
  test.each([
    ['GET', { 'transfer-encoding': 'chunked' }],
    ['DELETE', { 'transfer-encoding': 'chunked' }],
    ['OPTIONS', { 'transfer-encoding': 'chunked' }],
    ['POST', { 'transfer-encoding': 'chunked' }],
    ['GET', { 'content-length': String(other.length), connection: 'content-length' }],
  ])('a body of %s as its own, with %j', async (method, headers) => {
    const { stable, url } = await two({}, [1, 0])
    await ask(url, { method, headers, body: other })
    await ask(`${url}/after`, { method })
    expect(stable.seen.map((seen) => [seen.method, seen.url, seen.body])).toEqual([
      [method, '/', other],
      [method, '/after', ''],
    ])
  })

  test('an event as soon as it was sent', async () => {
    let answer: ServerResponse | undefined
    const a = await backend('a', (_, response) => {
      answer = response
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.flushHeaders()
    })
    const { url } = await route({ a: [a.url, 1] })
    const outgoing = httpRequest(url).end()
    const [stream] = (await once(outgoing, 'response')) as [IncomingMessage]
    for (const text of ['data: 1\n\n', 'data: 2\n\n']) {
      answer?.write(text)
      const [chunk] = (await once(stream, 'data')) as [Buffer]
      expect(String(chunk)).toBe(text)
    }
    answer?.end()
    await once(stream, 'end')
  })

  test.each(['upload', 'download'])('a big %s no faster than it is taken, and whole', async (way) => {
    const SIZE = 64 << 20
    const chunk = Buffer.alloc(1 << 16, 'x')
    const sent = { bytes: 0 }
    const pour = (into: NodeJS.WritableStream): void => {
      const more = (): void => {
        while (sent.bytes < SIZE) {
          sent.bytes += chunk.length
          if (!into.write(chunk)) return void into.once('drain', more)
        }
        into.end()
      }
      more()
    }
    let taken = 0
    const take = async (from: IncomingMessage): Promise<void> => {
      for await (const part of from) taken += (part as Buffer).length
    }
    let release: () => void = () => {}
    const released = new Promise<void>((resolve) => (release = resolve))
    const a = await backend('a', (request, response) => {
      if (way === 'download') return pour(response)
      void released.then(() => take(request)).then(() => response.end())
    })
    const { url } = await route({ a: [a.url, 1] })
    const outgoing = httpRequest(url, { method: 'POST' })
    if (way === 'upload') pour(outgoing)
    else outgoing.end()
    const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>
    if (way === 'download') await answered
    // What is held on the way are the buffers of sockets; it no longer grows.
    let before = -1
    await expect
      .poll(
        () => {
          const isStill = before === sent.bytes
          before = sent.bytes
          return isStill && sent.bytes > 0
        },
        { interval: 200 },
      )
      .toBe(true)
    expect(sent.bytes).toBeLessThan(SIZE / 2)
    release()
    const [answer] = await answered
    if (way === 'download') await take(answer)
    else await bodyOf(answer)
    expect(taken).toBe(SIZE)
  })

  test('a body that the server is asked about first', async () => {
    const { url, stable } = await two({}, [1, 0])
    const outgoing = httpRequest(url, { method: 'POST', headers: { expect: '100-continue', 'content-length': '4' } })
    outgoing.flushHeaders()
    await once(outgoing, 'continue')
    outgoing.end('body')
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
    expect(await bodyOf(answer)).toBe('stable')
    expect(stable.seen[0]?.body).toBe('body')
  })

  test('that the client went away', async () => {
    let isGone = false
    const a = await backend('a', (_, response) => void response.on('close', () => (isGone = true)))
    const { url, router } = await route({ a: [a.url, 1] })
    const outgoing = httpRequest(url, { method: 'POST' })
    outgoing.on('error', () => {})
    outgoing.end('{}')
    await expect.poll(() => router.state.upstreams[0]?.inFlight).toBe(1)
    outgoing.destroy()
    await expect.poll(() => isGone).toBe(true)
    await expect.poll(() => router.state.upstreams[0]?.inFlight).toBe(0)
  })

  test('that an answer broke off', async () => {
    const a = await backend('a', (_, response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('half')
      setImmediate(() => response.destroy())
    })
    const { url } = await route({ a: [a.url, 1] })
    const [answer] = (await once(httpRequest(url).end(), 'response')) as [IncomingMessage]
    await bodyOf(answer)
    expect(answer.complete).toBe(false)
  })
})

describe('a version that is down', () => {
  test('is passed over for another one, a POST as well, since nothing of it was sent', async () => {
    const gone = `http://127.0.0.1:${await freePort()}`
    const stable = await backend('stable')
    const { url, router } = await route({ gone: [gone, 1000], stable: [stable.url, 1] })
    for (let turn = 0; turn < 6; turn++)
      expect(await ask(url, { method: 'POST', body: 'whole' })).toMatchObject({ status: 200, body: 'stable' })
    expect(stable.seen.map(({ body }) => body)).toEqual(Array.from({ length: 6 }, () => 'whole'))
    // After the first one it is left out.
    expect(router.counts.retries).toBe(1)
    expect(router.state.upstreams[0]?.unreached).toBe(1)
  })

  test('is asked again after a while, and is back when it answers', async () => {
    let now = 1_000_000
    const port = await freePort()
    const stable = await backend('stable')
    const shares: Shares = { gone: [`http://127.0.0.1:${port}`, 1e6], stable: [stable.url, 1] }
    const { url } = await route(shares, {}, () => now)
    for (let turn = 0; turn < 4; turn++) expect((await ask(url)).body).toBe('stable')
    await backend('back', undefined, port)
    expect((await ask(url)).body).toBe('stable')
    now += 1001
    for (let turn = 0; turn < 3; turn++) expect((await ask(url)).body).toBe('back')
  })

  test('is named by a 503 where no other one may answer', async () => {
    const stable = await backend('stable')
    const { url } = await route({ gone: [`http://127.0.0.1:${await freePort()}`, 1], stable: [stable.url, 1] })
    const named = await ask(url, { headers: { 'x-model-version': 'gone' } })
    expect(named).toMatchObject({
      status: 503,
      version: 'gone',
      body: '{"detail":"No version could be reached: gone (ECONNREFUSED)"}',
    })
    expect(named.headers['retry-after']).toBe('1')
  })

  test('that takes a request and gives no answer is named by a 502, and the request is sent nowhere else', async () => {
    const a = await backend('a', (request) => void request.socket.destroy())
    const b = await backend('b')
    const { url } = await route({ a: [a.url, 1e9], b: [b.url, 1] })
    const answer = await ask(`${url}/predictions`, { method: 'POST', body: '{}' })
    expect(answer).toMatchObject({ status: 502, version: 'a' })
    expect(answer.body).toContain('The version a gave no answer')
    expect(b.seen).toEqual([])
  })
})

describe('a connection that was kept', () => {
  /** A server that does with a request that comes on a kept connection what it is told to, and answers all others with their bodies. */
  async function keeping(name: string, onKept: BackendHandler): Promise<Backend> {
    const known = new WeakSet<Socket>()
    const started = await backend(name, (request, response) => {
      if (known.has(request.socket)) return onKept(request, response)
      known.add(request.socket)
      void bodyOf(request).then((body) => {
        started.seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body })
        response.end(body)
      })
    })
    return started
  }

  test('and that its server closed since then carries nothing: a POST takes a new one', async () => {
    const kept: Socket[] = []
    const a = await backend('a', (request, response) => {
      kept.push(request.socket)
      request.resume()
      response.end('a')
    })
    const { url, router } = await route({ a: [a.url, 1] })
    for (let turn = 0; turn < 100; turn++) {
      for (const socket of kept.splice(0))
        if (turn % 2 === 0) socket.resetAndDestroy()
        else socket.destroy()
      expect(await ask(url, { method: 'POST', body: 'x' })).toMatchObject({ status: 200, body: 'a' })
    }
    expect(router.state.upstreams[0]).toMatchObject({ unreached: 0, broken: 0 })
  })

  test('takes a POST with it when it ends after that, which is sent nowhere else', async () => {
    let lost = 0
    const a = await keeping('a', (request) => {
      lost++
      request.socket.destroy()
    })
    const { url, router } = await route({ a: [a.url, 1] })
    expect((await ask(url, { method: 'POST', body: 'one' })).status).toBe(200)
    const answer = await ask(url, { method: 'POST', body: 'two' })
    expect(answer).toMatchObject({ status: 502, version: 'a' })
    expect(JSON.parse(answer.body)).toEqual({
      detail: expect.stringMatching(/gave no answer.*may have been worked on/) as string,
    })
    expect({ lost, seen: a.seen.map(({ body }) => body) }).toEqual({ lost: 1, seen: ['one'] })
    expect(router.state.upstreams[0]?.broken).toBe(1)
  })

  test.each(['PUT', 'DELETE', 'OPTIONS'])('takes a %s with it, which is sent again as a whole', async (method) => {
    const a = await keeping('a', (request) => void bodyOf(request).then(() => request.socket.destroy()))
    const { url, canary } = await withMirror(a)
    const headers = { 'transfer-encoding': 'chunked' }
    expect((await ask(url, { method, headers, body: 'one' })).status).toBe(200)
    const body = 'x'.repeat(1 << 20)
    expect((await ask(url, { method, headers, body })).body).toBe(body)
    // Each once, however often it was sent.
    const copies = method === 'PUT' ? ['one', body] : []
    await expect.poll(() => canary.seen.map((seen) => seen.body)).toEqual(copies)
  })

  async function withMirror(a: Backend) {
    const canary = await backend('canary')
    const mirror = { to: 'canary', percent: 100, max_bytes: 1 << 21 }
    return { ...(await route({ a: [a.url, 1], canary: [canary.url, 0] }, { mirror })), canary }
  }

  test('takes a PUT with it whose server cuts it in the middle: what comes later is sent as well', async () => {
    let isCut = (): void => {}
    const cut = new Promise<void>((resolve) => (isCut = resolve))
    const a = await keeping('a', (request) => {
      request.once('data', () => {
        request.socket.destroy()
        isCut()
      })
    })
    const { url } = await route({ a: [a.url, 1] })
    await ask(url, { method: 'PUT', body: 'one' })
    const outgoing = httpRequest(url, { method: 'PUT', headers: { 'content-length': 9 } })
    outgoing.write('begun')
    await cut
    outgoing.end(' end')
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
    expect(await bodyOf(answer)).toBe('begun end')
  })

  test('takes a PUT with it that is too large to be kept', async () => {
    const a = await keeping('a', (request) => void bodyOf(request).then(() => request.socket.destroy()))
    const { url } = await route({ a: [a.url, 1] })
    await ask(url, { method: 'PUT', body: 'one' })
    expect((await ask(url, { method: 'PUT', body: 'x'.repeat((1 << 20) + 1) })).status).toBe(502)
    expect(a.seen).toHaveLength(1)
  })

  test('takes a PUT with it and its server: the body is whole at the next one', async () => {
    const a = await keeping('a', (request) => void bodyOf(request).then(() => a.close()))
    const b = await backend('b')
    const { url } = await route({ a: [a.url, 1e9], b: [b.url, 1] })
    expect((await ask(url, { method: 'PUT', body: 'one' })).body).toBe('one')
    expect((await ask(url, { method: 'PUT', body: 'two' })).body).toBe('b')
    expect(b.seen.map(({ body }) => body)).toEqual(['two'])
  })

  test.each([
    ['timeout=1', 3],
    ['max=9, timeout=1', 3],
    ['timeout=0', 3],
    ['timeout=2', 1],
    ['max=1', 1],
  ])('by a server that says `%s`', async (hint, connections) => {
    const seen = new Set<Socket>()
    const a = await backend('a', (request, response) => {
      seen.add(request.socket)
      request.resume()
      response.writeHead(200, { 'keep-alive': hint, connection: 'keep-alive' }).end()
    })
    const { url } = await route({ a: [a.url, 1] })
    for (let turn = 0; turn < 3; turn++) expect((await ask(url, { method: 'POST', body: 'x' })).status).toBe(200)
    expect(seen.size).toBe(connections)
  })
})

describe('health', () => {
  const health = { interval_seconds: 0.05 }

  /** A server that says what it is told to where it is asked for its health, and else its name. */
  async function patient(name: string, status = 'READY'): Promise<Backend & { status: string }> {
    const state = { status }
    const started = await backend(name, (request, response) => {
      request.resume()
      response.end(request.url === '/health-check' ? JSON.stringify({ status: state.status }) : name)
    })
    return Object.assign(state, started)
  }

  const shares = async (url: string, count = 30, headers = {}): Promise<ReadonlySet<string>> =>
    new Set(await Promise.all(Array.from({ length: count }, async () => (await ask(url, { headers })).body)))

  test.each(['STARTING', 'UNHEALTHY', 'SETUP_FAILED', 'DEFUNCT'])(
    'a version that says %s gets no share until it is well; the others get it by weight',
    async (status) => {
      const [a, b, c] = [await patient('a'), await patient('b'), await patient('c')]
      const { url } = await route({ a: [a.url, 8], b: [b.url, 1], c: [c.url, 1] }, { health })
      expect(await shares(url)).toContain('a')
      a.status = status
      await expect.poll(() => shares(url)).not.toContain('a')
      expect(await shares(url)).toEqual(new Set(['b', 'c']))
      a.status = 'BUSY'
      await expect.poll(() => shares(url)).toContain('a')
    },
  )

  test('keys of a version that is out go to others, and return to it; those of others stay', async () => {
    const [a, b, c] = [await patient('a'), await patient('b'), await patient('c')]
    const sticky = { header: 'x-user' }
    const { url } = await route({ a: [a.url, 1], b: [b.url, 1], c: [c.url, 1] }, { health, sticky })
    const keys = Array.from({ length: 30 }, (_, at) => `user-${at}`)
    const round = () => Promise.all(keys.map(async (key) => (await ask(url, { headers: { 'x-user': key } })).body))
    const first = await round()
    a.status = 'STARTING'
    await expect.poll(round).not.toContain('a')
    const without = await round()
    expect(without.filter((side, at) => first[at] !== 'a' && side !== first[at])).toEqual([])
    a.status = 'READY'
    await expect.poll(round).toEqual(first)
  })

  test('tells that a version is out and why, and that it is back', async () => {
    const [a, b] = [await patient('a'), await patient('b')]
    const changes: HealthChange[] = []
    const table = tableOf({ a: [a.url, 1], b: [b.url, 1] }, { health })
    const served = await serveRouter({ table, onHealth: (change) => changes.push(change) })
    closing.push(served)
    a.status = 'STARTING'
    await expect.poll(() => changes).toHaveLength(1)
    expect(changes[0]).toEqual({
      version: 'a',
      url: new URL(a.url),
      reason: '/health-check says STARTING',
      serversLeft: 0,
      versionsLeft: 1,
    })
    const status = JSON.parse((await ask(`${served.url}/route/status`)).body) as { versions: object[] }
    expect(status.versions[0]).toMatchObject({
      healthy: false,
      servers: [{ url: `${a.url}/`, healthy: false, reason: '/health-check says STARTING' }],
    })
    const metrics = async (): Promise<string> => (await ask(`${served.url}/route/metrics`)).body
    expect(await metrics()).toContain(`layerwright_route_healthy{version="a",server="${a.url}/"} 0\n`)
    expect(await metrics()).toMatch(/checks_total\{version="a",server="[^"]+",result="failed"\} [1-9]/)
    a.status = 'READY'
    await expect.poll(() => changes).toHaveLength(2)
    expect(changes[1]).toMatchObject({ version: 'a', reason: undefined, serversLeft: 1, versionsLeft: 2 })
    expect(await metrics()).toContain(`layerwright_route_healthy{version="a",server="${a.url}/"} 1\n`)
  })

  test('when all are out, all are tried; a 503 names them', async () => {
    const [a, b] = [await patient('a', 'STARTING'), await patient('b', 'UNHEALTHY')]
    const { url, router } = await route({ a: [a.url, 1], b: [b.url, 1] }, { health })
    const isOut = (): readonly boolean[] => router.state.upstreams.map((upstream) => upstream.health.isOut(0))
    await expect.poll(isOut).toEqual([true, true])
    expect(await shares(url)).toEqual(new Set(['a', 'b']))
    await a.close()
    expect(await shares(url)).toEqual(new Set(['b']))
    await b.close()
    const { status, body, headers } = await ask(url, { method: 'POST', body: 'whole' })
    expect({ status, after: headers['retry-after'] }).toEqual({ status: 503, after: '1' })
    const { detail } = JSON.parse(body) as { detail: string }
    expect(detail).toMatch(/^No version could be reached: ([ab]) \(ECONNREFUSED\), (?!\1)[ab] \(ECONNREFUSED\)$/)
  })

  test('a version that is out is reached by those who name it, and by its ids', async () => {
    const [a, b] = [await patient('a'), await patient('b')]
    const { url, router } = await route({ a: [a.url, 1], b: [b.url, 1] }, { health })
    await ask(`${url}/predictions/one`, { method: 'PUT', headers: { 'x-model-version': 'a' }, body: '{}' })
    a.status = 'UNHEALTHY'
    await expect.poll(() => router.state.upstreams[0]?.health.reason).toBe('/health-check says UNHEALTHY')
    expect((await ask(url, { headers: { 'x-model-version': 'a' } })).body).toBe('a')
    expect((await ask(`${url}/predictions/one`)).body).toBe('a')
    // What it answers to requests says nothing of that.
    expect(await shares(url)).toEqual(new Set(['b']))
  })

  test('gets no copies while it is out', async () => {
    const [a, b] = [await patient('a'), await patient('b', 'STARTING')]
    const mirror = { to: 'b', percent: 100 }
    const { url, router } = await route({ a: [a.url, 1], b: [b.url, 0] }, { health, mirror })
    const [, copied] = router.state.upstreams
    await expect.poll(() => copied?.health.reason).toBeDefined()
    await ask(url, { method: 'POST', body: 'one' })
    await expect.poll(() => copied?.mirrored).toEqual({ sent: 0, failed: 0, skipped: 1 })
    b.status = 'READY'
    await expect.poll(() => copied?.health.reason).toBeUndefined()
    await ask(url, { method: 'POST', body: 'two' })
    await expect.poll(() => copied?.mirrored).toEqual({ sent: 1, failed: 0, skipped: 1 })
  })

  test('a table without checks ends them, and what they said', async () => {
    const [a, b] = [await patient('a', 'STARTING'), await patient('b')]
    const both: Shares = { a: [a.url, 1], b: [b.url, 1] }
    const { url, router } = await route(both, { health })
    await expect.poll(() => router.state.upstreams[0]?.health.reason).toBeDefined()
    router.replace(tableOf(both))
    expect(await shares(url)).toEqual(new Set(['a', 'b']))
    router.replace(tableOf(both, { health: { ...health, path: '/other' } }))
    await expect.poll(() => router.state.upstreams[0]?.health.checks.passed).toBeGreaterThan(0)
    expect(router.state.upstreams[0]?.health.reason).toBeUndefined()
  })
})

describe('several servers of a version', () => {
  /** A server that answers when it is told to. */
  async function slow(name: string): Promise<Backend & { readonly waiting: ServerResponse[] }> {
    const waiting: ServerResponse[] = []
    const started = await backend(name, (request, response) => {
      request.resume()
      waiting.push(response)
    })
    return { ...started, waiting }
  }

  test('the one with the least under way gets the next request', async () => {
    const servers = [await slow('one'), await slow('two'), await slow('three')]
    const { url } = await route({ a: [servers.map((server) => server.url), 1] })
    const counts = (): readonly number[] => servers.map(({ waiting }) => waiting.length)
    const asked: Promise<Answered>[] = []
    for (let round = 1; round <= 3; round++) {
      for (let turn = 0; turn < 3; turn++) asked.push(ask(url))
      await expect.poll(counts).toEqual([round, round, round])
    }
    // Whoever is done first gets more.
    for (const response of servers[1]?.waiting.splice(0) ?? []) response.end('two')
    await Promise.race(asked)
    await expect.poll(async () => (await ask(`${url}/route/metrics`)).body).toMatch(/in_flight.*"\} 0\n/)
    for (let turn = 0; turn < 2; turn++) asked.push(ask(url))
    await expect.poll(counts).toEqual([3, 2, 3])
    for (const { waiting } of servers) for (const response of waiting) response.end()
    expect((await Promise.all(asked)).every(({ version }) => version === 'a')).toBe(true)
  })

  test('one that is down leaves the share of its version to the others of it', async () => {
    const [one, two, b] = [await backend('one'), await backend('two'), await backend('b')]
    const { url } = await route({ a: [[one.url, two.url], 1], b: [b.url, 1] })
    const answers = async (): Promise<readonly Answered[]> =>
      Promise.all(Array.from({ length: 100 }, () => ask(url, { method: 'POST', body: 'whole' })))
    await one.close()
    const after = await answers()
    expect(after.every(({ status }) => status === 200)).toBe(true)
    const counts = { two: 0, b: 0 }
    for (const { body } of after) counts[body as keyof typeof counts]++
    expect(chiSquare([counts.two, counts.b], [1, 1])).toBeLessThan(10.83)
    expect((await ask(url, { headers: { 'x-model-version': 'a' } })).body).toBe('two')
  })

  test('an id stays with its server, also for whoever comes before its first answer or after a restart', async () => {
    const servers = [await slow('one'), await slow('two'), await slow('three')]
    const table: Shares = { a: [servers.map((server) => server.url), 1] }
    const { url } = await route(table)
    const ids = Array.from({ length: 20 }, (_, at) => `id-${at}`)
    const begun = ids.map((id) => ask(`${url}/predictions/${id}`, { method: 'PUT', body: '{}' }))
    const waiting = (): readonly ServerResponse[] => servers.flatMap((server) => server.waiting)
    await expect.poll(() => waiting().length).toBe(20)
    const sideOf = new Map(
      servers.flatMap((server, at) => server.waiting.map((response) => [response.req.url, at] as const)),
    )
    expect(new Set(sideOf.values()).size).toBeGreaterThan(1)
    const looked = [url, (await route(table)).url].flatMap((router) =>
      ids.map((id) => ask(`${router}/predictions/${id}/cancel`, { method: 'POST' })),
    )
    await expect.poll(() => waiting().length).toBe(60)
    for (const [at, server] of servers.entries())
      for (const { req } of server.waiting) expect(sideOf.get(req.url?.replace('/cancel', ''))).toBe(at)
    for (const response of waiting()) response.end()
    await Promise.all([...begun, ...looked])
  })

  test('whoever knows an id that nobody remembers: all servers of a named version are asked', async () => {
    const knows =
      (id: string): BackendHandler =>
      (request, response) =>
        void response.writeHead(request.url?.endsWith(id) === true ? 200 : 404).end(id)
    const servers = [await backend('one', knows('x')), await backend('two', knows('y')), await backend('b', knows('z'))]
    const [one, two, b] = servers.map((server) => server.url)
    const { url } = await route({ a: [[one ?? '', two ?? ''], 1], b: [b ?? '', 1] })
    for (const id of ['x', 'y'])
      expect(await ask(`${url}/predictions/${id}`, { headers: { 'x-model-version': 'a' } })).toMatchObject({
        status: 200,
        body: id,
      })
    expect(await ask(`${url}/predictions/z`, { headers: { 'x-model-version': 'a' } })).toMatchObject({ status: 404 })
    expect(await ask(`${url}/predictions/z`)).toMatchObject({ status: 200, version: 'b' })
  })

  test('those that stay in the table keep their counts', async () => {
    const [one, two] = [await backend('one'), await backend('two')]
    const { url, router } = await route({ a: [[one.url, two.url], 1] })
    for (let turn = 0; turn < 20; turn++) await ask(url)
    const [before] = router.state.upstreams
    router.replace(tableOf({ a: [one.url, 1] }))
    expect(router.state.upstreams).toEqual([before])
    expect((await ask(url)).body).toBe('one')
  })
})

describe('mirror', () => {
  const mirror = { to: 'canary', percent: 100, max_bytes: 1000 }

  test('gets copies of what others are asked to do, which call nobody back', async () => {
    const { url, canary } = await two({ mirror }, [1, 0])
    const body = '{"input":{"a":1},"webhook":"http://h/","webhook_events_filter":["start"]}'
    expect(await ask(`${url}/predictions?x=1`, { method: 'POST', headers: json, body })).toMatchObject({
      body: 'stable',
    })
    await ask(`${url}/predictions/id/cancel`, { method: 'POST' })
    await ask(`${url}/health-check`)
    await ask(`${url}/predictions`, { method: 'POST', body: 'x'.repeat(1001) })
    await ask(`${url}/predictions`, { method: 'POST', body: 'last' })
    await expect.poll(() => canary.seen.length).toBe(2)
    expect(canary.seen.map(({ method, url: path, body: copied }) => [method, path, copied])).toEqual([
      ['POST', '/predictions?x=1', '{"input":{"a":1}}'],
      ['POST', '/predictions', 'last'],
    ])
    expect(canary.seen[0]?.headers['x-model-mirror']).toBe('true')
    expect((await ask(`${url}/route/metrics`)).body).toContain(
      `layerwright_route_mirrored_total{version="canary",server="${canary.url}/",result="skipped"} 1`,
    )
  })

  test('that never answers, or is not there, holds nobody up', async () => {
    const stable = await backend('stable')
    const slow = await backend('slow', () => {})
    for (const target of [slow.url, `http://127.0.0.1:${await freePort()}`]) {
      const { url, router } = await route({ stable: [stable.url, 1], canary: [target, 0] }, { mirror })
      // More than may be under way at a time.
      for (let turn = 0; turn < 100; turn++) expect((await ask(url, { method: 'POST', body: 'a' })).body).toBe('stable')
      const { mirrored } = router.state.upstreams[1] ?? {}
      if (target === slow.url) expect(mirrored).toMatchObject({ sent: 0, skipped: 36 })
      else await expect.poll(() => mirrored).toMatchObject({ sent: 0, failed: 100 })
    }
  })

  test('gets one copy of a request that was tried at two versions', async () => {
    const [stable, canary] = [await backend('stable'), await backend('canary')]
    const gone = `http://127.0.0.1:${await freePort()}`
    const { url } = await route({ gone: [gone, 1e9], stable: [stable.url, 1], canary: [canary.url, 0] }, { mirror })
    for (const body of ['one', 'two']) expect((await ask(url, { method: 'POST', body })).body).toBe('stable')
    await expect.poll(() => canary.seen.map(({ body }) => body).toSorted()).toEqual(['one', 'two'])
  })

  test('gets its share', async () => {
    const { url, canary } = await two({ mirror: { to: 'canary', percent: 25 } }, [1, 0])
    for (let turn = 0; turn < 200; turn++) await ask(url, { method: 'POST', body: 'a' })
    await expect.poll(() => canary.seen.length).toBeGreaterThan(30)
    expect(canary.seen.length).toBeLessThan(75)
  })
})

describe('the router itself', () => {
  test.each([
    ['GET /caf\u00e9 HTTP/1.1', 400],
    ['GET no-path HTTP/1.1', 400],
    ['GET http://elsewhere.example/predictions?a=1 HTTP/1.1', 200],
  ])('survives what it cannot send on: %s', async (line, status) => {
    const { url, stable } = await two({}, [1, 0])
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.write(Buffer.from(`${line}\r\nhost: h\r\nconnection: close\r\n\r\n`, 'latin1'))
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk as Buffer)
    expect(String(Buffer.concat(chunks))).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(stable.seen.map(({ url: path }) => path)).toEqual(status === 200 ? ['/predictions?a=1'] : [])
    expect((await ask(url)).status).toBe(200)
  })

  test('tells its state and what it counted', async () => {
    const { url, stable } = await two({ sticky: { header: 'x-user' } }, [1, 0])
    await ask(`${url}/predictions`)
    expect(await ask(`${url}/route/healthz`)).toMatchObject({ status: 200, body: '{"status":"ok"}\n' })
    expect(JSON.parse((await ask(`${url}/route/status`)).body)).toMatchObject({
      status: 'ok',
      versions: [
        {
          name: 'stable',
          weight: 1,
          healthy: true,
          in_flight: 0,
          requests: 1,
          servers: [{ url: `${stable.url}/`, healthy: true, in_flight: 0, requests: 1 }],
        },
        { name: 'canary', weight: 0 },
      ],
      sticky: { header: 'x-user' },
    })
    const { body } = await ask(`${url}/route/metrics`)
    const labels = `version="stable",server="${stable.url}/"`
    expect(body).toContain(`layerwright_route_requests_total{${labels},code="200"} 1\n`)
    expect(body).toContain(`layerwright_route_request_seconds_bucket{${labels},le="+Inf"} 1\n`)
    expect(body).toContain(`layerwright_route_healthy{${labels}} 1\n`)
    for (const line of body.trimEnd().split('\n'))
      expect(line).toMatch(/^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{(?:\w+="[^"]*",?)+\})? [\d.e+-]+)$/)
  })

  test('ends when what is under way has ended, and takes nothing more', async () => {
    let answer: ServerResponse | undefined
    const a = await backend('a', (_, response) => void (answer = response))
    const served = await route({ a: [a.url, 1] })
    const asked = ask(served.url)
    await expect.poll(() => answer !== undefined).toBe(true)
    const closed = served.close(60_000)
    await expect(ask(`${served.url}/`, { headers: { connection: 'close' } })).rejects.toThrow('ECONNREFUSED')
    answer?.end('done')
    expect((await asked).body).toBe('done')
    await closed
  })

  test('cuts who connected and never shook hands', async () => {
    const table = tableOf({ a: [`http://127.0.0.1:${await freePort()}`, 1] })
    const served = await serveRouter({
      table,
      certificate: { cert: await pem('server.crt'), key: await pem('server.key') },
    })
    const socket = connect(Number(new URL(served.url).port), '127.0.0.1')
    const cut = once(socket, 'close')
    await once(socket, 'connect')
    await served.close(0)
    await cut
  })

  test('cuts what does not end in time', async () => {
    const a = await backend('a', () => {})
    const served = await route({ a: [a.url, 1] })
    const asked = ask(served.url)
    const refused = expect(asked).rejects.toThrow(/hang up|ECONNRESET/)
    await expect.poll(() => served.router.state.upstreams[0]?.inFlight).toBe(1)
    await served.close(0)
    await refused
  })
})
