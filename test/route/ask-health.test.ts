import type { IncomingMessage, ServerResponse } from 'node:http'
import { createSecureContext } from 'node:tls'
import { afterEach, expect, test } from 'vitest'
import { askHealth } from '../../src/route/ask-health.ts'
import { Upstream } from '../../src/route/upstream.ts'
import { freePort } from '../support/docker-registry.ts'
import { startBackend, type Backend, type BackendHandler } from '../support/route-backends.ts'

const running: Backend[] = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.close()
})

const SETTINGS = { path: '/health-check', interval_seconds: 5, timeout_seconds: 60 }

async function verdictOf(handler: BackendHandler, settings = SETTINGS, prefix = '') {
  const backend = await startBackend('a', handler)
  running.push(backend)
  return askHealth(upstreamAt(`${backend.url}${prefix}`), settings, new AbortController().signal)
}

const upstreamAt = (url: string): Upstream =>
  new Upstream('a', new URL(url), { onHealth: () => {}, trust: () => createSecureContext() })
const saying =
  (status: number, body: string) =>
  (_: IncomingMessage, response: ServerResponse): void =>
    void response.writeHead(status).end(body)

test.each([
  [200, '{"status":"READY"}'],
  [200, '{"status":"BUSY","setup":{}}'],
  [200, '{"status":"ok"}'],
  [200, '{"status":200}'],
  [200, '{}'],
  [200, 'null'],
  [200, 'STARTING'],
  [204, ''],
])('%j %j is well', async (status, body) => {
  expect(await verdictOf(saying(status, body))).toEqual({ kind: 'well' })
})

test.each([
  [200, '{"status":"STARTING"}', '/health-check says STARTING'],
  [200, '{"status":"SETUP_FAILED"}', '/health-check says SETUP_FAILED'],
  [503, '{"status":"READY"}', '/health-check answers 503'],
  [404, '', '/health-check answers 404'],
  [301, '', '/health-check answers 301'],
  [200, 'x'.repeat((4 << 20) + 1), '/health-check answers more than 4 MiB'],
])('%j is ill', async (status, body, reason) => {
  expect(await verdictOf(saying(status, body))).toEqual({ kind: 'ill', reason })
})

test('whoever breaks off, or is not there, is ill', async () => {
  const cut: BackendHandler = (request) => void request.socket.destroy()
  expect(await verdictOf(cut)).toEqual({ kind: 'ill', reason: 'ECONNRESET' })
  const half: BackendHandler = (_, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('{')
    setImmediate(() => response.destroy())
  }
  expect(await verdictOf(half)).toEqual({ kind: 'ill', reason: 'ECONNRESET' })
  const gone = upstreamAt(`http://127.0.0.1:${await freePort()}`)
  expect(await askHealth(gone, SETTINGS, new AbortController().signal)).toEqual({ kind: 'ill', reason: 'ECONNREFUSED' })
})

test.each<[string, BackendHandler]>([
  ['an answer', () => {}],
  ['the end of one', (_, response) => void response.writeHead(200).write('{')],
])('whoever is slow with %s is late', async (_, handler) => {
  expect(await verdictOf(handler, { ...SETTINGS, timeout_seconds: 0.05 })).toEqual({
    kind: 'late',
    reason: '/health-check gives no answer within 0.05 s',
  })
})

test('it asks where it is told, below the path of the server, on a connection of its own', async () => {
  const seen: unknown[] = []
  const handler: BackendHandler = ({ method, url, headers }, response) => {
    seen.push([method, url, headers.connection])
    response.end()
  }
  await verdictOf(handler, { ...SETTINGS, path: '/readyz?deep=1' }, '/model/')
  expect(seen).toEqual([['GET', '/model/readyz?deep=1', 'close']])
})

test('it ends when it is told to', async () => {
  const stop = new AbortController()
  const backend = await startBackend('a', () => stop.abort())
  running.push(backend)
  expect(await askHealth(upstreamAt(backend.url), SETTINGS, stop.signal)).toMatchObject({ kind: 'ill' })
})
