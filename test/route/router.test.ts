import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
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

type Shares = Readonly<Record<string, readonly [url: string, weight: number]>>

function tableOf(shares: Shares, rest: object = {}): ReturnType<typeof routeTableSchema.parse> {
  const versions = Object.fromEntries(Object.entries(shares).map(([name, [url, weight]]) => [name, { url, weight }]))
  return routeTableSchema.parse({ versions, ...rest })
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
    await expect.poll(() => router.state.sides[0]?.upstream.inFlight).toBe(1)
    outgoing.destroy()
    await expect.poll(() => isGone).toBe(true)
    await expect.poll(() => router.state.sides[0]?.upstream.inFlight).toBe(0)
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
    expect(router.counts.retries).toBeGreaterThanOrEqual(3)
    // After three in a row it is left out.
    const { unreached } = router.state.sides[0]?.upstream ?? {}
    expect(unreached).toBe(3)
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
      'layerwright_route_mirrored_total{version="canary",result="skipped"} 1',
    )
  })

  test('that never answers, or is not there, holds nobody up', async () => {
    const stable = await backend('stable')
    const slow = await backend('slow', () => {})
    for (const target of [slow.url, `http://127.0.0.1:${await freePort()}`]) {
      const { url, router } = await route({ stable: [stable.url, 1], canary: [target, 0] }, { mirror })
      // More than may be under way at a time.
      for (let turn = 0; turn < 100; turn++) expect((await ask(url, { method: 'POST', body: 'a' })).body).toBe('stable')
      const { mirrored } = router.state.sides[1]?.upstream ?? {}
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
    const { url } = await two({ sticky: { header: 'x-user' } }, [1, 0])
    await ask(`${url}/predictions`)
    expect(await ask(`${url}/route/healthz`)).toMatchObject({ status: 200, body: '{"status":"ok"}\n' })
    expect(JSON.parse((await ask(`${url}/route/status`)).body)).toMatchObject({
      status: 'ok',
      versions: [
        { name: 'stable', weight: 1, reachable: true, in_flight: 0, requests: 1 },
        { name: 'canary', weight: 0 },
      ],
      sticky: { header: 'x-user' },
    })
    const { body } = await ask(`${url}/route/metrics`)
    expect(body).toContain('layerwright_route_requests_total{version="stable",code="200"} 1\n')
    expect(body).toContain('layerwright_route_request_seconds_bucket{version="stable",le="+Inf"} 1\n')
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

  test('cuts what does not end in time', async () => {
    const a = await backend('a', () => {})
    const served = await route({ a: [a.url, 1] })
    const asked = ask(served.url)
    const refused = expect(asked).rejects.toThrow(/hang up|ECONNRESET/)
    await expect.poll(() => served.router.state.sides[0]?.upstream.inFlight).toBe(1)
    await served.close(0)
    await refused
  })
})
