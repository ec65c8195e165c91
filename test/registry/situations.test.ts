import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { DOCKER, OCI, type Descriptor } from 'oci-spec-types'
import { afterEach, expect, test } from 'vitest'
import { chooseChallenge, parseChallenges } from '../../registry/challenge.ts'
import type { Credential } from '../../registry/credentials.ts'
import { parseReference } from '../../registry/reference.ts'
import { resolveLocation } from '../../registry/upload-session.ts'
import { collect, openBytes } from '../../src/core/bytes.ts'
import { digestOf, verify } from '../../src/core/digest.ts'
import {
  choosePlatform,
  copyContent,
  copyImage,
  openDestination,
  openImage,
  openSource,
  parsePlatform,
  readContent,
  type CopyResult,
} from '../../src/destinations/index.ts'
import type { Image } from '../../src/image/image.ts'
import { sampleImage, sampleLayer } from '../support/sample-image.ts'
import {
  sha256,
  startFaultRegistry,
  type FaultRegistry,
  type FaultRegistryOptions,
  type Misbehaviour,
} from '../support/fault-registry.ts'
import { quickRegistries, type QuickOptions } from '../support/registries.ts'

/*
 * Situations that broke other clients, one test each (their numbers are those of the survey that collected them from the
 * issue trackers of a dozen clients and registries).
 */

const closing: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

async function start(options?: FaultRegistryOptions): Promise<FaultRegistry> {
  const registry = await startFaultRegistry(options)
  closing.push(() => registry.close())
  return registry
}

/** A plain server; answers what the handler says. */
async function serve(
  handler: (request: IncomingMessage, response: ServerResponse, body: Buffer) => void,
  host = '127.0.0.1',
): Promise<{ readonly origin: string; readonly requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    collect(request as AsyncIterable<Buffer>, 1 << 26).then(
      (body) => handler(request, response, body),
      () => response.destroy(),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  closing.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { origin: `http://${host}:${(server.address() as AddressInfo).port}`, requests }
}

const image = sampleImage({ layers: [sampleLayer('one', 300), sampleLayer('two', 200_000)] })
const login: Credential = { kind: 'basic', username: 'me', password: 'secret' }

async function push(registry: FaultRegistry, options: QuickOptions = {}, what: Image = image): Promise<CopyResult> {
  const { registries } = quickRegistries(options)
  return copyImage(what, await openDestination(`${registry.host}/team/app:v1`, { registries }))
}

async function pull(registry: FaultRegistry, options: QuickOptions = {}): Promise<Image> {
  const { registries } = quickRegistries(options)
  const found = await openImage(`${registry.host}/team/app:v1`, { registries })
  for (const layer of found.layers) await collect(verify(layer.open(), layer.descriptor, 'the layer'), 1 << 22)
  return found
}

async function copy(registry: FaultRegistry, options: QuickOptions = {}): Promise<CopyResult> {
  const { registries } = quickRegistries(options)
  const source = await openSource(`${registry.host}/team/app:v1`, { registries })
  const destination = await openDestination(`${registry.host}/other/app:v1`, { registries })
  return copyContent(await readContent(source), destination)
}

async function listAll<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

const client = (registry: FaultRegistry, options: QuickOptions = {}) =>
  quickRegistries(options).registries.client({ registry: registry.host, repository: 'team/app' }, { actions: 'push' })

test('1 Location with a query string keeps every byte of it', async () => {
  const registry = await start()
  await push(registry)
  const puts = registry.requests.filter(({ kind }) => kind === 'put-upload')
  for (const { url } of puts) expect(url).toMatch(/\?state=0%2Dx\+y&digest=sha256%3A[a-f0-9]{64}$/)
})

test('2 Location relative', async () => {
  const registry = await start({ location: (path) => path })
  expect((await push(registry)).outcome).toBe('copied')
})

test('3 Location on another host is used without credentials, but not inside the private network', async () => {
  const elsewhere = await serve((_, response, body) => {
    const blobs = registry.blobs.get('team/app') ?? new Map()
    registry.blobs.set('team/app', blobs.set(sha256(body), body))
    response.writeHead(201).end()
  })
  const inner = await serve((_, response) => response.writeHead(201).end(), '127.0.0.2')
  let origin = elsewhere.origin
  const registry: FaultRegistry = await start({
    location: (path) => `${origin}${path}`,
    protection: { kind: 'basic', username: 'me', password: 'secret' },
  })
  await push(registry, { login })
  expect(elsewhere.requests.length).toBe(3)
  expect(elsewhere.requests.filter(({ headers }) => headers.authorization !== undefined)).toEqual([])
  origin = inner.origin
  const network = { isPublicAddress: (address: string) => address !== '127.0.0.2' }
  await expect(push(registry, { login, network }, sampleImage({ label: 'new' }))).rejects.toMatchObject({
    code: 'NETWORK_REFUSED',
  })
  expect(inner.requests).toEqual([])
})

test('4 each PATCH returns a new Location, and only the last is good', async () => {
  const registry = await start()
  registry.fail({
    on: 'put-upload',
    times: Infinity,
    when: ({ headers }) => Number(headers['content-length']) > 100_000 && headers['content-range'] === undefined,
    do: { kind: 'status', status: 413 },
  })
  await push(registry)
  const states = registry.requests.flatMap(({ kind, url }) =>
    kind === 'patch-upload' ? [/state=(\d+)/.exec(url)?.[1]] : [],
  )
  expect(states.length).toBeGreaterThan(0)
  expect(new Set(states).size).toBe(states.length)
})

test.each([
  ['https://r.io:443/v2/x?s=1', 'https://r.io', 'https://r.io/v2/x?s=1'],
  ['http://r.io:80/v2/x', 'http://r.io', 'http://r.io/v2/x'],
  ['http://r.io/v2/x', 'https://r.io', 'https://r.io/v2/x'],
  ['http://r.io/v2/x', 'https://r.io:5000', 'https://r.io:5000/v2/x'],
  ['https://r.io/v2/x', 'https://r.io:5000', 'https://r.io:5000/v2/x'],
  ['/v2/x?a=%2D+b', 'https://r.io:5000', 'https://r.io:5000/v2/x?a=%2D+b'],
  ['https://store.io/x?sig=a%2Fb', 'https://r.io', 'https://store.io/x?sig=a%2Fb'],
])('5 Location with the port spelled out or lost: %s of %s', (location, origin, expected) => {
  expect(resolveLocation(location, `${origin}/v2/a/blobs/uploads/`, origin)).toBe(expected)
})

test.each([
  ['Basic realm="a", Bearer realm="https://t/token",service="s"', 'bearer'],
  ['Negotiate, Basic realm="x"', 'basic'],
  ['Bearer realm="https://t/token", Basic realm="a"', 'bearer'],
  ['Negotiate', undefined],
  ['', undefined],
])('6 several challenges in one header: %s', (header, scheme) => {
  expect(chooseChallenge(parseChallenges(header))?.scheme).toBe(scheme)
})

test('6 several WWW-Authenticate headers', async () => {
  const registry = await start({
    protection: { kind: 'bearer', challenge: (realm) => ['Basic realm="x"', `Bearer realm="${realm}",service="test"`] },
  })
  expect((await push(registry)).outcome).toBe('copied')
})

test.each([
  ['Bearer realm=https://t/token,service=s', { realm: 'https://t/token', service: 's' }],
  ['Bearer realm="https://t/token" service="s"', { realm: 'https://t/token', service: 's' }],
  ['bearer  realm = "https://t/token" , scope="a:b:pull,push"', { realm: 'https://t/token', scope: 'a:b:pull,push' }],
  ['Bearer realm="a\\"b",service="s', { realm: 'a"b', service: 's' }],
  [
    'Bearer realm="https://t/token",service="s",charset=UTF-8',
    { realm: 'https://t/token', service: 's', charset: 'UTF-8' },
  ],
])('7 odd challenge grammar: %s', (header, parameters) => {
  expect(parseChallenges(header)).toEqual([{ scheme: 'bearer', parameters }])
})

test('7 a relative realm is resolved against the registry', async () => {
  const registry = await start({ protection: { kind: 'bearer', realm: '/token' } })
  expect((await push(registry)).outcome).toBe('copied')
})

test('8 401 without WWW-Authenticate on the real request asks the base of the API', async () => {
  const registry = await start({ protection: { kind: 'bearer' } })
  registry.fail({
    on: 'head-manifest',
    do: { kind: 'headers', set: { 'www-authenticate': undefined } },
  })
  expect((await push(registry)).outcome).toBe('copied')
  expect(registry.kinds()).toContain('ping')
})

test('9 a token that expires in the middle of a push is renewed, again and again', async () => {
  const registry = await start({ protection: { kind: 'bearer', uses: 2 } })
  expect((await push(registry)).outcome).toBe('copied')
  expect(registry.kinds().filter((kind) => kind === 'token').length).toBeGreaterThan(2)
})

test('9 a token is renewed ahead of its end', async () => {
  const registry = await start({ protection: { kind: 'bearer', tokenBody: (token) => ({ token, expires_in: 100 }) } })
  const { registries } = quickRegistries()
  const target = registries.client({ registry: registry.host, repository: 'team/app' }, { actions: 'push' })
  await target.headManifest('v1')
  registry.fail({
    on: 'head-manifest',
    times: 1,
    do: { kind: 'status', status: 503, headers: { 'retry-after': '95' } },
  })
  await target.headManifest('v1')
  await target.headManifest('v1')
  expect(registry.kinds().filter((kind) => kind === 'token').length).toBe(2)
})

test.each([{}, { expires_in: 1 }, { expires_in: 'soon' }, { issued_at: '2001-01-01T00:00:00Z', expires_in: 300 }])(
  '10 odd lifetime of a token: %j',
  async (more) => {
    const registry = await start({ protection: { kind: 'bearer', tokenBody: (token) => ({ token, ...more }) } })
    await push(registry)
    expect(registry.kinds().filter((kind) => kind === 'token').length).toBe(1)
  },
)

test('11 the token comes as access_token', async () => {
  const registry = await start({ protection: { kind: 'bearer', tokenBody: (token) => ({ access_token: token }) } })
  expect((await push(registry)).outcome).toBe('copied')
})

test.each([
  ['404', { kind: 'status', status: 404 }],
  ['405', { kind: 'status', status: 405 }],
  ['a page', { kind: 'status', status: 200, body: '<html>login</html>' }],
] as const)('12 a token server without POST (%s) is asked by GET', async (_, behaviour) => {
  const registry = await start({ protection: { kind: 'bearer' } })
  registry.fail({ on: 'token', do: behaviour, when: ({ method }) => method === 'POST' })
  const identity: Credential = { kind: 'identity', username: '<token>', token: 'refresh' }
  expect((await push(registry, { login: identity })).outcome).toBe('copied')
  expect(registry.requests.filter(({ kind }) => kind === 'token').map(({ method }) => method)).toEqual(['POST', 'GET'])
})

test('13 the scope that matters most comes first', async () => {
  const registry = await start({ protection: { kind: 'bearer' } })
  await push(registry)
  registry.calm()
  await copy(registry)
  const scopes = registry.requests
    .filter(({ kind }) => kind === 'token')
    .map(({ url }) => new URL(url, registry.origin).searchParams.getAll('scope'))
  expect(scopes).toEqual([['repository:team/app:pull'], ['repository:other/app:pull,push', 'repository:team/app:pull']])
})

test('14 a token server that refuses the scope of a mount is asked without it', async () => {
  const registry = await start({ protection: { kind: 'bearer' } })
  await push(registry)
  registry.fail({
    on: 'token',
    times: Infinity,
    when: ({ url }) => new URL(url, registry.origin).searchParams.getAll('scope').length > 1,
    do: { kind: 'status', status: 403, body: '{"errors":[{"code":"DENIED"}]}' },
  })
  expect((await copy(registry)).outcome).toBe('copied')
})

test('14 insufficient_scope is asked for', async () => {
  const registry = await start({ protection: { kind: 'bearer' } })
  await push(registry)
  const challenge = `Bearer realm="${registry.origin}/token",error="insufficient_scope",scope="repository:team/app:admin"`
  registry.fail({
    on: 'get-manifest',
    after: 1,
    do: { kind: 'status', status: 401, headers: { 'www-authenticate': challenge } },
  })
  await pull(registry)
  expect(registry.requests.some(({ url }) => url.includes('admin'))).toBe(true)
})

test('15 a blob of another registry is not mounted from it', async () => {
  const [from, to] = [await start(), await start()]
  await push(from)
  const { registries } = quickRegistries()
  const source = await openSource(`${from.host}/team/app:v1`, { registries })
  await copyContent(await readContent(source), await openDestination(`${to.host}/mine:v1`, { registries }))
  for (const { kind, url } of to.requests) if (kind === 'mount') expect(url).toMatch(/&from=mine$/)
})

test('16 a mount that answers 202 goes on at its Location without a second POST', async () => {
  const registry = await start({ mounts: false })
  await push(registry)
  registry.calm()
  await copy(registry)
  expect(registry.kinds()).not.toContain('start-upload')
  expect(registry.blobs.get('other/app')?.size).toBe(3)
})

test.each([401, 403, 404, 405])('17 a mount that answers %i is not tried again from there', async (status) => {
  const registry = await start()
  await push(registry)
  registry.calm()
  registry.fail({ on: 'mount', times: Infinity, do: { kind: 'status', status } })
  const { registries } = quickRegistries()
  const source = await openSource(`${registry.host}/team/app:v1`, { registries })
  const destination = { ...(await openDestination(`${registry.host}/other/app:v1`, { registries })), concurrency: 1 }
  await copyContent(await readContent(source), destination)
  expect(registry.kinds().filter((kind) => kind === 'mount').length).toBe(1)
})

test('18 a registry that fails on mounts gets plain uploads', async () => {
  const registry = await start()
  registry.fail({ on: 'mount', times: Infinity, do: { kind: 'status', status: 500 } })
  expect((await push(registry)).blobs.uploaded).toBe(3)
})

test('19 a registry that mounts some blobs only answers 202 for the others', async () => {
  const registry = await start()
  await push(registry)
  const unmounted: Misbehaviour = {
    kind: 'reply',
    make: (_, { url }) => {
      registry.blobs.get('other/app')?.delete(new URL(url, registry.origin).searchParams.get('mount') ?? '')
      return { status: 202, headers: { location: '/v2/other/app/blobs/uploads/none' } }
    },
  }
  registry.fail({ on: 'mount', after: 1, times: Infinity, do: unmounted })
  expect((await copy(registry)).blobs).toMatchObject({ mounted: 1, uploaded: 2 })
})

test('20 the slash of `from` stays a slash', async () => {
  const registry = await start()
  await push(registry)
  registry.calm()
  await copy(registry)
  for (const { kind, url } of registry.requests) if (kind === 'mount') expect(url).toMatch(/&from=team\/app$/)
})

/** A store that a registry redirects its blobs to. */
async function startStore(registry: FaultRegistry, host?: string) {
  return serve((request, response) => {
    const digest = decodeURIComponent(new URL(request.url ?? '', 'http://x').searchParams.get('d') ?? '')
    response.end(registry.blobs.get('team/app')?.get(digest))
  }, host)
}

const redirect = (origin: string): Misbehaviour => ({
  kind: 'reply',
  make: (_, { url }) => ({
    status: 307,
    headers: { location: `${origin}/b?d=${url.split('/').at(-1)}&sig=a%2Db%2Bc+d&x=1%3D%3D` },
  }),
})

test.each(['basic', 'bearer'] as const)('21 %s credentials are not sent to the store after a 307', async (kind) => {
  const registry = await start({ protection: { kind, username: 'me', password: 'secret' } })
  const store = await startStore(registry)
  await push(registry, { login })
  registry.fail({
    on: 'get-blob',
    times: Infinity,
    do: redirect(store.origin),
    when: ({ headers }) => headers.authorization !== undefined,
  })
  await pull(registry, { login })
  expect(store.requests.length).toBe(3)
  for (const { headers } of store.requests)
    expect([headers.authorization, headers.cookie]).toEqual([undefined, undefined])
})

test('22 a signed URL is followed byte for byte', async () => {
  const registry = await start()
  const store = await startStore(registry)
  await push(registry)
  registry.fail({ on: 'get-blob', times: Infinity, do: redirect(store.origin) })
  await pull(registry)
  for (const { url } of store.requests) expect(url).toMatch(/&sig=a%2Db%2Bc\+d&x=1%3D%3D$/)
})

test('23 a resumed download asks the registry for a new signed URL', async () => {
  const registry = await start()
  const size = image.layers[1]?.descriptor.size ?? 0
  const store = await serve((request, response) => {
    const digest = new URL(request.url ?? '', 'http://x').searchParams.get('d') ?? ''
    const bytes = registry.blobs.get('team/app')?.get(digest) ?? Buffer.alloc(0)
    const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    if (start > 0) {
      response.writeHead(206, { 'content-range': `bytes ${start}-${size - 1}/${size}` }).end(bytes.subarray(start))
    } else {
      response.writeHead(200, { 'content-length': String(bytes.length) })
      if (bytes.length < 100_000) response.end(bytes)
      else response.write(bytes.subarray(0, 50_000), () => setTimeout(() => response.destroy(), 10))
    }
  })
  await push(registry)
  registry.fail({ on: 'get-blob', times: Infinity, do: redirect(store.origin) })
  registry.calm()
  registry.fail({ on: 'get-blob', times: Infinity, do: redirect(store.origin) })
  await pull(registry)
  expect(registry.kinds().filter((kind) => kind === 'get-blob').length).toBe(4)
})

test('24 a redirected host that asks for a token gets an anonymous one', async () => {
  const registry = await start({ protection: { kind: 'basic', username: 'me', password: 'secret' } })
  const store = await serve((request, response) => {
    const url = new URL(request.url ?? '', 'http://x')
    if (url.pathname === '/token') response.end('{"token":"anonymous"}')
    else if (request.headers.authorization !== 'Bearer anonymous')
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${store.origin}/token"` }).end()
    else response.end(registry.blobs.get('team/app')?.get(url.searchParams.get('d') ?? ''))
  })
  await push(registry, { login })
  registry.fail({
    on: 'get-blob',
    times: Infinity,
    do: redirect(store.origin),
    when: ({ headers }) => headers.authorization !== undefined,
  })
  await pull(registry, { login })
  const tokens = store.requests.filter(({ url }) => url?.startsWith('/token'))
  expect(tokens.length).toBe(3)
  expect(tokens.every(({ headers }) => headers.authorization === undefined)).toBe(true)
})

const large = image.layers[1]?.descriptor.digest ?? ''
const onLarge = (behaviour: Misbehaviour) =>
  ({ on: 'get-blob', do: behaviour, when: ({ url }: { url: string }) => url.includes(large) }) as const
const cut: Misbehaviour = { kind: 'cut', afterBytes: 100_000 }

test.each([
  ['25 Range answered 200 with the whole body', { kind: 'ignore-range' }],
  ['26 206 with another offset', { kind: 'lie-range' }],
  ['27 a range answered 416', { kind: 'status', status: 416 }],
] as const)('%s', async (_, behaviour) => {
  const registry = await start()
  await push(registry)
  registry.fail(onLarge(cut), onLarge(behaviour))
  await pull(registry)
  const ranges = registry.requests.flatMap(({ headers }) => headers.range ?? [])
  for (const range of ranges) expect(range).toMatch(/^bytes=\d+-\d+$/)
})

test('28 nothing is asked for after the whole file', async () => {
  const registry = await start()
  await push(registry)
  const descriptor = image.layers[1]?.descriptor as Descriptor
  registry.calm()
  expect(await collect(client(registry).openBlob(descriptor)({ offset: descriptor.size }), 10)).toHaveLength(0)
  expect(registry.requests).toEqual([])
})

test('29 Accept-Ranges absent though ranges work', async () => {
  const registry = await start()
  await push(registry)
  registry.fail(onLarge(cut))
  await pull(registry)
  expect(registry.requests.some(({ headers }) => headers.range !== undefined)).toBe(true)
})

test('30 Content-Encoding on blobs: a mislabelled gzip layer stays, a transfer encoding is undone', async () => {
  const registry = await start()
  await push(registry)
  registry.fail({ on: 'get-blob', times: 3, do: { kind: 'headers', set: { 'content-encoding': 'x-gzip' } } })
  await pull(registry)
  registry.calm()
  registry.fail({
    on: 'get-blob',
    times: 3,
    do: {
      kind: 'reply',
      make: (reply) => ({
        ...reply,
        headers: { ...reply.headers, 'content-encoding': 'gzip' },
        body: gzipSync(reply.body ?? ''),
      }),
    },
  })
  await pull(registry)
  expect(
    registry.requests.filter(({ kind }) => kind === 'get-blob').map(({ headers }) => headers['accept-encoding']),
  ).toEqual(Array(3).fill('identity'))
})

test.each(['cut', 'end-early'] as const)('31 a body shorter than it should be (%s)', async (kind) => {
  const registry = await start()
  await push(registry)
  registry.fail(onLarge({ kind, afterBytes: 1000 }))
  await pull(registry)
})

test.each(['content-length', 'docker-content-digest', 'content-type'])(
  '32 HEAD of a manifest without %s is asked by GET',
  async (name) => {
    const registry = await start()
    await push(registry)
    registry.fail({ on: 'head-manifest', do: { kind: 'headers', set: { [name]: undefined } } })
    expect(await client(registry).headManifest('v1')).toEqual(image.descriptor)
  },
)

test.each([403, 405])('33 HEAD of a manifest answers %i', async (status) => {
  const registry = await start()
  await push(registry)
  registry.fail({ on: 'head-manifest', do: { kind: 'status', status } })
  expect(await client(registry).headManifest('v1')).toEqual(image.descriptor)
  registry.fail({ on: 'head-manifest', do: { kind: 'status', status: 403 } })
  const denied = '{"errors":[{"code":"DENIED","message":"no pull for you"}]}'
  registry.fail({ on: 'get-manifest', do: { kind: 'status', status: 403, body: denied } })
  await expect(client(registry).headManifest('v1')).rejects.toMatchObject({
    code: 'REGISTRY_DENIED',
    message: /no pull for you/,
  })
})

test('33 HEAD of a blob answers 403', async () => {
  const registry = await start()
  registry.fail({ on: 'mount', times: Infinity, do: { kind: 'status', status: 400 } })
  registry.fail({ on: 'head-blob', times: Infinity, do: { kind: 'status', status: 403 } })
  expect((await push(registry)).blobs.uploaded).toBe(3)
})

test('34 PUT of a manifest without Docker-Content-Digest is fine, with another one it is not', async () => {
  const registry = await start()
  registry.fail({ on: 'put-manifest', do: { kind: 'headers', set: { 'docker-content-digest': undefined } } })
  expect((await push(registry)).digest).toBe(image.descriptor.digest)
  registry.fail({
    on: 'put-manifest',
    do: { kind: 'headers', set: { 'docker-content-digest': sha256(Buffer.from('x')) } },
  })
  await expect(push(registry, {}, sampleImage({ label: 'b' }))).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
})

test('34 a lying Docker-Content-Digest of a manifest is refused', async () => {
  const registry = await start()
  await push(registry)
  registry.fail({
    on: 'get-manifest',
    times: Infinity,
    do: { kind: 'headers', set: { 'docker-content-digest': sha256(Buffer.from('x')) } },
  })
  await expect(pull(registry)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
})

test('35 a server that answers 200 to everything is no registry', async () => {
  const server = await serve((_, response) => response.end('{}'))
  const { registries } = quickRegistries()
  const destination = await openDestination(`${new URL(server.origin).host}/app:v1`, { registries })
  await expect(copyImage(image, destination)).rejects.toThrow()
  expect(server.requests.some(({ method, url }) => method === 'PUT' && url?.includes('/manifests/'))).toBe(false)
})

test('36 a registry that refuses large PATCHes gets one PUT, and small chunks only when it refuses that', async () => {
  const registry = await start()
  registry.fail({
    on: 'patch-upload',
    times: Infinity,
    do: { kind: 'status', status: 416 },
    when: ({ headers }) => Number(headers['content-length']) > 4 << 20,
  })
  await push(registry)
  expect(registry.kinds()).not.toContain('patch-upload')
  registry.fail({
    on: 'put-upload',
    times: Infinity,
    do: { kind: 'status', status: 413 },
    when: ({ headers }) => Number(headers['content-length']) > 4 << 20,
  })
  await push(registry, {}, sampleImage({ layers: [sampleLayer('big', 5 << 20)] }))
  const sizes = registry.requests.flatMap(({ kind, headers }) =>
    kind === 'patch-upload' ? [Number(headers['content-length'])] : [],
  )
  expect(Math.max(...sizes)).toBeLessThanOrEqual(4 << 20)
})

test('37 OCI-Chunk-Min-Length and OCI-Chunk-Max-Length are honoured', async () => {
  const registry = await start()
  const set = { 'oci-chunk-max-length': '50000', 'oci-chunk-min-length': '20000' }
  registry.fail({ on: 'mount', times: Infinity, do: { kind: 'headers', set } })
  await push(registry)
  const sizes = registry.requests.flatMap(({ kind, headers }) =>
    kind === 'patch-upload' ? [Number(headers['content-length'])] : [],
  )
  expect(sizes.slice(0, 3)).toEqual([50_000, 50_000, 50_000])
})

test('38 a stale Range in the answers to chunks is not believed', async () => {
  const registry = await start()
  registry.fail({ on: 'mount', times: Infinity, do: { kind: 'headers', set: { 'oci-chunk-max-length': '50000' } } })
  registry.fail({ on: 'patch-upload', times: Infinity, do: { kind: 'headers', set: { range: '0-49999' } } })
  expect((await push(registry)).blobs.uploaded).toBe(3)
})

test.each([
  ['an empty final PUT', ({ headers }: { headers: IncomingMessage['headers'] }) => headers['content-length'] === '0'],
  [
    'a final PUT with the last chunk',
    ({ headers }: { headers: IncomingMessage['headers'] }) => headers['content-range'] !== undefined,
  ],
] as const)('39 a registry that rejects %s', async (_, when) => {
  const registry = await start()
  registry.fail({
    on: 'put-upload',
    times: Infinity,
    do: { kind: 'status', status: 413 },
    when: ({ headers }) => Number(headers['content-length']) > 150_000,
  })
  registry.fail({ on: 'put-upload', times: Infinity, do: { kind: 'status', status: 400 }, when })
  expect((await push(registry)).blobs.uploaded).toBe(3)
})

test('40 every upload says its length', async () => {
  const registry = await start()
  await push(registry)
  for (const { kind, headers } of registry.requests) {
    if (!/upload|put-manifest|mount/.test(kind)) continue
    expect(headers['transfer-encoding']).toBeUndefined()
    expect(headers['content-length']).toMatch(/^\d+$/)
  }
})

test('41 a 429 in plain text with Retry-After holds back everybody, and its text is told', async () => {
  const registry = await start()
  await push(registry)
  const limited: Misbehaviour = {
    kind: 'status',
    status: 429,
    headers: { 'retry-after': '60' },
    body: 'pull rate\nlimit reached\n',
  }
  registry.fail({ on: 'get-manifest', do: limited })
  const { registries, waits } = quickRegistries()
  await openImage(`${registry.host}/team/app:v1`, { registries })
  expect(waits[0]).toEqual(60_000)
  registry.fail({ on: 'get-manifest', times: Infinity, do: { ...limited, headers: { 'retry-after': '3600' } } })
  await expect(pull(registry)).rejects.toMatchObject({
    code: 'REGISTRY_UNAVAILABLE',
    message: /pull rate limit reached/,
    hint: expect.stringContaining('`Retry-After: 3600`'),
  })
})

test('42 a push asks for no manifest by GET, a pull once', async () => {
  const registry = await start()
  await push(registry)
  expect(registry.kinds()).not.toContain('get-manifest')
  registry.calm()
  await pull(registry)
  expect(registry.kinds().filter((kind) => kind.endsWith('manifest'))).toEqual(['get-manifest'])
})

test.each([400, 500])('44 two clients push the same blob, and the later gets %i', async (status) => {
  const registry = await start()
  const layer = image.layers[1]?.descriptor.digest ?? ''
  registry.fail({
    on: 'put-upload',
    when: ({ url }) => url.includes(encodeURIComponent(layer)),
    do: { kind: 'reply', make: () => ({ status }) },
  })
  expect((await push(registry)).outcome).toBe('copied')
})

test('45 "blob unknown" at the manifest after accepted uploads: uploaded once more', async () => {
  const registry = await start()
  registry.fail({
    on: 'put-manifest',
    do: {
      kind: 'reply',
      make: (reply) => {
        registry.manifests.clear()
        registry.blobs.get('team/app')?.delete(large)
        return { ...reply, status: 404, body: Buffer.from('{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}') }
      },
    },
  })
  await push(registry)
  expect(registry.blobs.get('team/app')?.has(large)).toBe(true)
  expect(registry.manifests.get('team/app')?.has('v1')).toBe(true)
})

test('46 a missing repository of Amazon ECR is explained', async () => {
  const { RegistryError, registryError } = await import('../../registry/errors.ts')
  const body = Buffer.from('{"errors":[{"code":"NAME_UNKNOWN","message":"The repository does not exist"}]}')
  const response = {
    status: 404,
    url: 'https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/v2/app/blobs/uploads/?token=secret',
    header: () => undefined,
    body: openBytes(body)(),
    bytes: async () => body,
    discard: async () => {},
  }
  const error = await registryError(response, { method: 'POST', what: 'push a blob' })
  expect(error).toBeInstanceOf(RegistryError)
  expect(error).toMatchObject({ code: 'IMAGE_NOT_FOUND', hint: expect.stringContaining('create-repository') })
  expect(error.message).not.toContain('secret')
})

test('47 an immutable tag with the same digest is a success', async () => {
  const registry = await start()
  await push(registry)
  registry.fail({ on: 'put-manifest', times: Infinity, do: { kind: 'status', status: 409 } })
  registry.fail({ on: 'head-manifest', do: { kind: 'status', status: 404 } })
  expect((await push(registry)).outcome).toBe('copied')
  await expect(push(registry, {}, sampleImage({ label: 'other' }))).rejects.toMatchObject({ status: 409 })
})

test.each([
  [
    'put-manifest',
    400,
    'TAG_INVALID',
    "The image tag 'v1' already exists and cannot be overwritten",
    'push under a new tag',
  ],
  ['put-manifest', 412, 'PRECONDITION', 'configured as immutable', 'push under a new tag'],
  ['start-upload', 404, 'NAME_UNKNOWN', 'Repository not found', 'create it first'],
  ['start-upload', 405, 'UNSUPPORTED', 'The operation is unsupported', 'takes no pushes'],
  ['put-manifest', 413, 'UNKNOWN', 'too large', 'takes no request this large'],
] as const)('what %s with %d %s means is told (%s)', async (on, status, code, message, hint) => {
  const registry = await start()
  const body = JSON.stringify({ errors: [{ code, message }] })
  // A blob's upload begins as a mount or as one.
  for (const step of on === 'start-upload' ? (['mount', on] as const) : [on])
    registry.fail({ on: step, times: Infinity, do: { kind: 'status', status, body } })
  await expect(push(registry)).rejects.toMatchObject({ hint: expect.stringContaining(hint) as string })
})

test('a web page in place of a manifest is told as such', async () => {
  const { origin } = await serve((_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
  )
  const name = { registry: new URL(origin).host, repository: 'team/app' }
  const client = quickRegistries().registries.client(name, { actions: 'pull' })
  await expect(client.getManifest('v1')).rejects.toMatchObject({
    code: 'REGISTRY_FAILED',
    message: expect.stringContaining('A web page came instead of a manifest') as string,
  })
})

test('48 a registry that refuses OCI types: nothing is converted unasked, the way is told', async () => {
  const registry = await start()
  registry.fail({
    on: 'put-manifest',
    times: Infinity,
    do: { kind: 'status', status: 400, body: '{"errors":[{"code":"MANIFEST_INVALID"}]}' },
  })
  await expect(push(registry)).rejects.toMatchObject({
    hint: expect.stringContaining('--format docker'),
    wireCodes: ['MANIFEST_INVALID'],
  })
})

test('49 an empty blob', async () => {
  const registry = await start()
  const descriptor = { mediaType: OCI.layer, digest: digestOf(''), size: 0 }
  const target = client(registry)
  expect(await target.pushBlob({ descriptor, open: openBytes(Buffer.alloc(0)) })).toBe('uploaded')
  expect(registry.blobs.get('team/app')?.get(descriptor.digest)).toHaveLength(0)
  expect(await collect(target.openBlob(descriptor)(), 1)).toHaveLength(0)
})

test('50 the same layer twice in one image is uploaded once', async () => {
  const registry = await start()
  const layer = sampleLayer('same')
  expect((await push(registry, {}, sampleImage({ layers: [layer, layer] }))).blobs.uploaded).toBe(2)
  expect((await pull(registry)).layers.length).toBe(2)
})

test('51 sha512 descriptors are verified with sha512', async () => {
  const registry = await start()
  const bytes = Buffer.from('content')
  const digest = `sha512:${createHash('sha512').update(bytes).digest('hex')}` as const
  registry.blobs.set('team/app', new Map([[digest, bytes]]))
  const descriptor = { mediaType: OCI.layer, digest, size: bytes.length }
  const open = client(registry).openBlob(descriptor)
  expect(await collect(verify(open(), descriptor, 'x'), 100)).toEqual(bytes)
  registry.blobs.set('team/app', new Map([[digest, Buffer.from('CONTENT')]]))
  await expect(collect(verify(open(), descriptor, 'x'), 100)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
})

test('54 pagination stays at the registry and ends', async () => {
  const registry = await start()
  for (const tag of ['a', 'b', 'c', 'd', 'e']) {
    const { registries } = quickRegistries()
    await copyImage(image, await openDestination(`${registry.host}/team/app:${tag}`, { registries }))
  }
  expect(await listAll(client(registry).tags())).toEqual(['a', 'b', 'c', 'd', 'e'])
  const elsewhere = await serve((_, response) => response.end('{"tags":["evil"]}'))
  const link = (target: string): Misbehaviour => ({ kind: 'headers', set: { link: `<${target}>; rel="next"` } })
  registry.fail({ on: 'tags', do: link(`${elsewhere.origin}/v2/team/app/tags/list`) })
  expect(await listAll(client(registry).tags())).toEqual(['a', 'b'])
  expect(elsewhere.requests).toEqual([])
  registry.fail({ on: 'tags', times: Infinity, do: link('/v2/team/app/tags/list?last=') })
  expect((await listAll(client(registry).tags())).length).toBeLessThan(10)
})

test.each(['[::1]:5000/a', 'foo.com:5000/a', 'HOST/a'])('55 registry names: %s', (text) => {
  expect(parseReference(text).repository).toBe('a')
})

test('56 tag and digest together: the digest decides', async () => {
  const registry = await start()
  await push(registry)
  await push(registry, {}, sampleImage({ label: 'newer' }))
  const { registries } = quickRegistries()
  const found = await openImage(`${registry.host}/team/app:v1@${image.descriptor.digest}`, { registries })
  expect(found.descriptor.digest).toBe(image.descriptor.digest)
})

test.each([
  ['linux/arm/v7', 'arm/v7'],
  ['linux/arm/v6', 'arm/v6'],
  ['linux/arm64', 'arm64/v8'],
  ['linux/arm64/v8', 'arm64/v8'],
  ['linux/aarch64', 'arm64/v8'],
  ['linux/amd64', 'amd64'],
  ['linux/amd64/v3', 'amd64/v3'],
  ['linux/amd64/v4', 'amd64/v3'],
  ['x86_64', 'amd64'],
  ['linux/s390x', undefined],
  ['unknown/unknown', undefined],
])('57 platform %s takes %s', (wanted, expected) => {
  const entry = (os: string, architecture: string, variant?: string): Descriptor => ({
    mediaType: OCI.manifest,
    digest: digestOf(`${os}/${architecture}/${variant}`),
    size: 1,
    platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
  })
  const manifests = [
    entry('unknown', 'unknown'),
    entry('linux', 'arm', 'v6'),
    entry('linux', 'arm', 'v7'),
    entry('linux', 'amd64'),
    entry('linux', 'amd64', 'v3'),
    entry('linux', 'arm64', 'v8'),
    entry('windows', 'amd64'),
  ]
  const found = wanted === 'unknown/unknown' ? undefined : choosePlatform(manifests, parsePlatform(wanted))?.platform
  expect(found && [found.architecture, found.variant].filter(Boolean).join('/')).toBe(expected)
})

test.each([
  'application/vnd.oci.image.manifest.v1+json; charset=utf-8',
  'text/plain; charset=utf-8',
  'application/json',
  undefined,
])('58 a manifest sent as %s', async (type) => {
  const registry = await start()
  await push(registry)
  registry.fail({ on: 'get-manifest', do: { kind: 'headers', set: { 'content-type': type } } })
  expect((await pull(registry)).descriptor).toEqual(image.descriptor)
})

test('58 a manifest sent as another kind than it says is refused', async () => {
  const registry = await start()
  await push(registry)
  registry.fail({
    on: 'get-manifest',
    times: Infinity,
    do: { kind: 'headers', set: { 'content-type': DOCKER.manifestList } },
  })
  await expect(pull(registry)).rejects.toMatchObject({ code: 'IMAGE_INVALID' })
  registry.calm()
  registry.fail({
    on: 'get-manifest',
    times: Infinity,
    do: { kind: 'headers', set: { 'content-type': DOCKER.manifestV1Signed } },
  })
  await expect(pull(registry)).rejects.toMatchObject({ code: 'NOT_SUPPORTED', message: /schema 1/ })
})

test('59 a realm at an inner address is not asked by order of a public registry', async () => {
  const inner = await serve((_, response) => response.end('{"token":"x"}'), '127.0.0.2')
  const registry = await start({ protection: { kind: 'bearer', realm: `${inner.origin}/token` } })
  const network = { isPublicAddress: (address: string) => address !== '127.0.0.2' }
  await expect(push(registry, { network, login })).rejects.toMatchObject({ code: 'NETWORK_REFUSED' })
  expect(inner.requests).toEqual([])
})

test('60 foreign layers are fetched from their URLs without credentials, and not from inside', async () => {
  const layer = sampleLayer('foreign')
  const bytes = await collect(layer.open(), 1 << 20)
  const vendor = await serve((_, response) => response.end(bytes))
  const inner = await serve((_, response) => response.end(bytes), '127.0.0.2')
  const network = { isPublicAddress: (address: string) => address !== '127.0.0.2' }
  const { registries } = quickRegistries({ network, login })
  const descriptor = (url: string): Descriptor => ({
    ...layer.descriptor,
    mediaType: OCI.nondistributableLayerGzip,
    urls: [url],
  })
  expect(await collect(registries.openForeign(descriptor(vendor.origin))(), 1 << 20)).toEqual(bytes)
  expect(vendor.requests[0]?.headers.authorization).toBeUndefined()
  const refused = collect(registries.openForeign(descriptor(inner.origin))(), 1 << 20)
  await expect(refused).rejects.toMatchObject({ code: 'NETWORK_REFUSED' })
  expect(inner.requests).toEqual([])
})

test('61 tag lists holding null or digests', async () => {
  const registry = await start()
  const body = Buffer.from(JSON.stringify({ name: 'x', tags: [null, 'v1', `sha256:${'a'.repeat(64)}`, 7] }))
  registry.fail({ on: 'tags', do: { kind: 'reply', make: () => ({ status: 200, body }) } })
  expect(await listAll(client(registry).tags())).toEqual(['v1'])
  registry.fail({ on: 'tags', do: { kind: 'reply', make: () => ({ status: 200, body }) } })
  expect(await client(registry).isNew()).toBe(false)
  const empty = Buffer.from(JSON.stringify({ name: 'x', tags: null }))
  registry.fail({ on: 'tags', do: { kind: 'reply', make: () => ({ status: 200, body: empty }) } })
  expect(await listAll(client(registry).tags())).toEqual([])
  registry.fail({ on: 'tags', do: { kind: 'reply', make: () => ({ status: 200, body: empty }) } })
  expect(await client(registry).isNew()).toBe(true)
  registry.fail({ on: 'tags', do: { kind: 'reply', make: () => ({ status: 403 }) } })
  await expect(client(registry).isNew()).rejects.toMatchObject({ code: expect.stringMatching(/^REGISTRY_/) as string })
  // A repository that was never pushed to.
  expect(await client(registry).isNew()).toBe(true)
})
