import { connect, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  serveRegistry,
  type RequestEvent,
  type ServedRegistry,
  type ServeOptions,
} from '../../../registry/server/serve.ts'
import { digestOf } from '../../../src/core/digest.ts'
import { pushBlob } from './push.ts'

let registry: ServedRegistry
const errors: unknown[] = []
let events: RequestEvent[]
const start = async (options: Partial<ServeOptions> = {}): Promise<void> => {
  const tell = {
    onError: (error: unknown) => errors.push(error),
    onRequest: (event: RequestEvent) => events.push(event),
  }
  registry = await serveRegistry({ storage: { kind: 'memory' }, ...tell, ...options })
}
beforeEach(() => {
  errors.length = 0
  events = []
})
afterEach(async () => {
  await registry.close(0)
  expect(errors).toEqual([])
})

const startUpload = async (): Promise<string> => {
  const response = await fetch(`${registry.url}/v2/a/blobs/uploads/`, { method: 'POST' })
  return response.headers.get('location') ?? ''
}

/** Sends a head and a part of the body, then what `more` writes; gives all that the server says until it closes. */
async function sendPart(head: string, part: string, more: (socket: Socket) => void = () => {}): Promise<string> {
  const socket = connect(registry.port, '127.0.0.1')
  // Cut by the server: what it had said before is what counts.
  socket.on('error', () => undefined)
  let said = ''
  socket.on('data', (chunk) => (said += String(chunk)))
  socket.write(`${head} HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n${part}`)
  more(socket)
  // `once` of node:events would fail with the cut.
  await new Promise((resolve) => socket.once('close', resolve))
  return said
}

/** A byte every now and then, more often than the server would call idle. */
function trickle(socket: Socket): void {
  const timer = setInterval(() => socket.write('x'), 20)
  socket.once('close', () => clearInterval(timer))
}

describe('a registry whose client does not get on', () => {
  it.each([
    ['is silent', () => {}],
    ['trickles', trickle],
  ])('answers 408 and closes when the body %s, and keeps what came', async (_, more) => {
    await start({ idleMs: 400 })
    const location = await startUpload()
    const said = await sendPart(`PATCH ${location}`, 'x'.repeat(1000), more)
    expect(said).toMatch(/^HTTP\/1\.1 408 /)
    expect(said).toMatch(/\r\nconnection: close\r\n/i)
    expect(said).toContain('"message":"The body does not get on"')
    const range = (await fetch(`${registry.url}${location}`)).headers.get('range')
    expect(Number(range?.split('-')[1])).toBeGreaterThanOrEqual(999)
    expect(events.map(({ method, status }) => [method, status])).toContainEqual(['PATCH', 408])
  })

  it('closes the connection of a request that was refused before its body ended', async () => {
    await start({ idleMs: 400 })
    const said = await sendPart('PATCH /v2/a/blobs/uploads/none', 'x', trickle)
    expect(said).toMatch(/^HTTP\/1\.1 404 /)
    expect(said).not.toContain('408')
  })

  it('lets a slow body that gets on take longer', { timeout: 60_000 }, async () => {
    await start({ idleMs: 2000 })
    const location = await startUpload()
    const body = (async function* () {
      for (let part = 0; part < 45; part++) {
        yield Buffer.alloc(1000, part)
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    })()
    const response = await fetch(`${registry.url}${location}`, { method: 'PATCH', body, duplex: 'half' })
    expect([response.status, response.headers.get('range')]).toEqual([202, '0-44999'])
  })
})

describe('a registry that is sent an encoded body', () => {
  const gzipped = { 'content-encoding': 'gzip' }

  it('refuses it, and stores nothing', async () => {
    await start()
    const content = Buffer.from('content')
    const digest = digestOf(content)
    const location = await startUpload()
    const requests = [
      ['PATCH', location],
      ['PUT', `${location}?digest=${digest}`],
      ['PUT', '/v2/a/manifests/v1'],
      ['POST', `/v2/a/blobs/uploads/?digest=${digest}`],
    ] as const
    for (const [method, path] of requests) {
      const body = gzipSync(content)
      const response = await fetch(`${registry.url}${path}`, { method, headers: gzipped, body })
      expect([method, response.status, response.headers.get('accept-encoding')]).toEqual([method, 415, 'identity'])
      expect(await response.json()).toMatchObject({
        errors: [{ code: 'UNSUPPORTED', message: expect.stringContaining('gzip') as string }],
      })
    }
    expect((await fetch(`${registry.url}/v2/a/blobs/${digest}`, { method: 'HEAD' })).status).toBe(404)
  })

  it('takes one that says that it is not', async () => {
    await start()
    const location = await startUpload()
    const content = Buffer.from('content')
    const response = await fetch(`${registry.url}${location}?digest=${digestOf(content)}`, {
      method: 'PUT',
      headers: { 'content-encoding': 'identity' },
      body: content,
    })
    expect(response.status).toBe(201)
    await pushBlob(registry.url, 'a', content)
  })
})
