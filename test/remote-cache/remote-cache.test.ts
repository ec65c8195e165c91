import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OCI, type Manifest } from 'oci-spec-types'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { layerStore } from '../../layers/layer-store.ts'
import { Registries } from '../../registry/registries.ts'
import { serveRegistry, type RequestEvent, type ServedRegistry } from '../../registry/server/serve.ts'
import { collect, openBytes } from '../../src/core/bytes.ts'
import { digestOf } from '../../src/core/digest.ts'
import type { ProgressEvent } from '../../src/core/progress.ts'
import { readSigningKey, readTrustedKey, tagOfKey } from '../../src/remote-cache/record.ts'
import { makeRemoteCache, type RemoteCache, type RemoteCacheOptions } from '../../src/remote-cache/remote-cache.ts'
import {
  sharedLayerStore,
  type SharedLayerStore,
  type SharedOptions,
} from '../../src/remote-cache/shared-layer-store.ts'
import { Store } from '../../src/store/store.ts'

let folder: string
let registry: ServedRegistry
const requests: RequestEvent[] = []
const events: ProgressEvent[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layerwright-remote-cache-'))
  registry = await serveRegistry({ storage: { kind: 'memory' }, onRequest: (event) => requests.push(event) })
  requests.length = 0
  events.length = 0
})
afterEach(async () => {
  await registry.close(0)
  await rm(folder, { recursive: true })
})

const key = (text: string): string => digestOf(`inputs of ${text}`)
const stream = (text: string) => ({
  mediaType: OCI.layerGzip,
  blob: openBytes(Buffer.from(text))(),
  diffId: () => digestOf(`tar of ${text}`),
})
const registries = new Registries({ env: {}, retry: { tries: 1 } })
const remote = (
  repository: string,
  options: Partial<RemoteCacheOptions> = {},
  authority = registry.authority,
): RemoteCache =>
  makeRemoteCache({ client: registries.client({ registry: authority, repository }, { actions: 'push' }), ...options })
/** A build on a machine of its own. */
const machine = async (name: string, options: Partial<SharedOptions> = {}): Promise<SharedLayerStore> => {
  const store = await Store.open(join(folder, name))
  return sharedLayerStore(layerStore(store), { from: [], to: [], report: (event) => events.push(event), ...options })
}
const warnings = (): string[] =>
  events.flatMap((event) => (event.type === 'note' && event.level === 'warning' ? [event.text] : []))
const read = async (layer: { open: () => AsyncIterable<Uint8Array> }): Promise<string> =>
  String(await collect(layer.open(), 1000))

describe('a cache of layers in a registry', () => {
  it('gives a cold machine what another one made, without a download', async () => {
    const first = await machine('first', { to: [remote('cache')] })
    first.describe(key('a'), { kind: 'wheels', sha256: 'abc' })
    await first.notes.set(`claims ${key('a')}`, Buffer.from('who owns what'))
    const made = await first.save(key('a'), stream('a'))
    await first.publish()

    const second = await machine('second', { from: [remote('cache')] })
    requests.length = 0
    const found = await second.find(key('a'))
    expect(found).toMatchObject({
      descriptor: made.descriptor,
      diffId: made.diffId,
      source: { registry: registry.authority, repository: 'cache' },
    })
    expect(requests.map(({ method }) => method)).toEqual(['GET', 'HEAD'])
    expect(await read(found ?? made)).toBe('a')
    expect(String(await second.notes.get(`claims ${key('a')}`))).toBe('who owns what')
    expect(await second.find(key('b'))).toBeUndefined()
  })

  it('is an artifact that says what was made from what', async () => {
    const builder = await machine('first', { to: [remote('cache')] })
    builder.describe(key('a'), { kind: 'wheels', sha256: 'abc' })
    await builder.save(key('a'), stream('a'))
    await builder.publish()
    const response = await fetch(`${registry.url}/v2/cache/manifests/${tagOfKey(key('a'))}`)
    const manifest = (await response.json()) as Manifest
    expect(manifest).toMatchObject({
      artifactType: 'application/vnd.layerwright.layer.v1',
      config: { mediaType: OCI.empty },
      layers: [{ mediaType: OCI.layerGzip, digest: digestOf('a'), size: 1 }],
      annotations: {
        'dev.layerwright.layer.key': key('a'),
        'dev.layerwright.layer.diff-id': digestOf('tar of a'),
        'dev.layerwright.layer.inputs': '{"kind":"wheels","sha256":"abc"}',
      },
    })
  })

  it('costs two small requests for each layer that is there already', async () => {
    const builder = await machine('first', { to: [remote('cache')] })
    await builder.save(key('a'), stream('a'))
    await builder.publish()
    requests.length = 0
    const again = await machine('first', { to: [remote('cache')] })
    await again.find(key('a'))
    await again.publish()
    expect(requests.map(({ method, status }) => [method, status])).toEqual([
      ['HEAD', 200],
      ['HEAD', 200],
    ])
  })

  it('sends a layer as soon as it is made, with what was found in it', async () => {
    const builder = await machine('first', { to: [remote('cache')] })
    const claims = [{ path: 'a.py', owner: 'a', hash: 'sha256=x' }] as never
    const made = await builder.save(key('a'), { ...stream('a'), claims })
    await builder.given(made)
    expect(await (await machine('second', { from: [remote('cache')] })).find(key('a'))).toBeDefined()
    const sent = requests.length
    await builder.publish()
    expect(requests).toHaveLength(sent)
    const cold = await machine('third', { from: [remote('cache')] })
    await cold.find(key('a'))
    expect(await cold.notes.get(`claims ${key('a')}`)).toEqual(await builder.notes.get(`claims ${key('a')}`))
  })

  it('stays whole where another store is put before it', async () => {
    const shared = await machine('first', { to: [remote('cache')] })
    const before: SharedLayerStore = { ...shared, find: async () => undefined }
    const made = await before.save(key('a'), stream('a'))
    await before.publish()
    await before.given(made)
    expect(await read((await (await machine('second', { from: [remote('cache')] })).find(key('a'))) ?? made)).toBe('a')
    expect(before.isGiving).toBe(true)
  })

  it('needs no layer made that all its caches have as the lock says', async () => {
    const builder = await machine('first', { to: [remote('one'), remote('two')] })
    const { descriptor, diffId } = await builder.save(key('a'), stream('a'))
    await builder.publish()
    const record = { ...descriptor, diffId }
    const both = await machine('second', { to: [remote('one'), remote('two')] })
    expect(await both.findGiven(key('a'), record)).toMatchObject({
      descriptor,
      diffId,
      source: { registry: registry.authority, repository: 'one' },
    })
    requests.length = 0
    await both.publish()
    expect(requests).toEqual([])
    expect(await both.findGiven(key('a'), { ...record, diffId: digestOf('another') })).toBeUndefined()
    const other = await machine('third', { to: [remote('one'), remote('empty')] })
    expect(await other.findGiven(key('a'), record)).toBeUndefined()
    const reader = await machine('fourth', { from: [remote('one')] })
    expect(await reader.findGiven(key('a'), record)).toBeUndefined()
  })

  it('sends nothing more for a build that failed', async () => {
    const builder = await machine('first', { to: [remote('cache')] })
    await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => builder.save(key(name), stream(name))))
    await builder.abandon()
    const sent = requests.length
    await builder.publish()
    expect(requests).toHaveLength(sent)
  })

  it('fills several caches, and mounts from one in the next', async () => {
    const builder = await machine('first', { to: [remote('one'), remote('two')] })
    await builder.save(key('a'), stream('a'))
    await builder.publish()
    const cold = await machine('second', { from: [remote('empty'), remote('two')] })
    expect(await cold.find(key('a'))).toBeDefined()
    expect(
      requests.some(({ method, url, status }) => method === 'POST' && url.includes('from=one') && status === 201),
    ).toBe(true)
  })

  it('believes no record under another key', async () => {
    const builder = await machine('first', { to: [remote('cache')] })
    await builder.save(key('evil'), stream('evil'))
    await builder.publish()
    const record = await fetch(`${registry.url}/v2/cache/manifests/${tagOfKey(key('evil'))}`)
    await fetch(`${registry.url}/v2/cache/manifests/${tagOfKey(key('a'))}`, {
      method: 'PUT',
      headers: { 'content-type': OCI.manifest },
      body: await record.text(),
    })
    expect(await (await machine('second', { from: [remote('cache')] })).find(key('a'))).toBeUndefined()
  })

  it('believes no record whose layer has gone', async () => {
    const builder = await machine('first', { to: [remote('cache')] })
    await builder.save(key('a'), stream('a'))
    await builder.publish()
    await fetch(`${registry.url}/v2/cache/blobs/${digestOf('a')}`, { method: 'DELETE' })
    expect(await (await machine('second', { from: [remote('cache')] })).find(key('a'))).toBeUndefined()
    // And the one who has it brings it back.
    const again = await machine('first', { to: [remote('cache')] })
    await again.find(key('a'))
    await again.publish()
    expect(await (await machine('third', { from: [remote('cache')] })).find(key('a'))).toBeDefined()
  })

  it('passes over a cache that does not answer, with one warning, and builds', async () => {
    const gone = await serveRegistry({ storage: { kind: 'memory' } })
    await gone.close(0)
    const dead = remote('cache', {}, gone.authority)
    const builder = await machine('first', { from: [dead], to: [dead] })
    expect(await builder.find(key('a'))).toBeUndefined()
    expect(await builder.find(key('b'))).toBeUndefined()
    await builder.save(key('a'), stream('a'))
    await builder.publish()
    expect(warnings()).toHaveLength(1)
    expect(warnings()[0]).toMatch(/^The cache 127\.0\.0\.1:\d+\/cache is passed over: /)
  })

  it('believes only who is trusted, when somebody is', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const stranger = generateKeyPairSync('ed25519').privateKey
    const signer = readSigningKey(privateKey.export({ type: 'pkcs8', format: 'pem' }), 'key')
    const trusted = [readTrustedKey(publicKey.export({ type: 'spki', format: 'pem' }), 'pub')]
    for (const [name, options] of [
      ['good', { signer }],
      ['unsigned', {}],
      ['strange', { signer: stranger }],
    ] as const) {
      const builder = await machine('first', { to: [remote(name, options)] })
      await builder.save(key(name), stream(name))
      await builder.publish()
      const careful = await machine('second', { from: [remote(name, { trusted })] })
      expect([name, (await careful.find(key(name))) !== undefined]).toEqual([name, name === 'good'])
    }
    expect(warnings().every((text) => text.includes('No trusted key signed'))).toBe(true)
    expect(warnings()).toHaveLength(2)
  })

  it('notices a signed record that was changed', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const builder = await machine('first', { to: [remote('cache', { signer: privateKey })] })
    await builder.save(key('a'), stream('a'))
    await builder.publish()
    const url = `${registry.url}/v2/cache/manifests/${tagOfKey(key('a'))}`
    const changed = (await (await fetch(url)).text()).replaceAll(digestOf('tar of a'), digestOf('tar of b'))
    await fetch(url, { method: 'PUT', headers: { 'content-type': OCI.manifest }, body: changed })
    const careful = await machine('second', { from: [remote('cache', { trusted: [publicKey] })] })
    expect(await careful.find(key('a'))).toBeUndefined()
    expect(warnings()).toHaveLength(1)
  })

  it('makes everything anew when verifying, and refuses a cache that says otherwise', async () => {
    const builder = await machine('first', { to: [remote('cache')] })
    await builder.save(key('a'), stream('a'))
    await builder.save(key('b'), stream('tampered'))
    await builder.publish()
    const verifying = await machine('first', { from: [remote('cache')], isVerifying: true })
    expect(await verifying.find(key('a'))).toBeUndefined()
    await verifying.save(key('a'), stream('a'))
    await expect(verifying.save(key('b'), stream('b'))).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      message: `The cache ${registry.authority}/cache has another layer for ${key('b')}`,
    })
  })
})

describe('readSigningKey()', () => {
  it('refuses what is no Ed25519 key, without showing it', () => {
    expect(() => readSigningKey('secret', 'cache.pem')).toThrow(/^Not an Ed25519 key: `cache.pem`$/)
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    expect(() => readSigningKey(privateKey.export({ type: 'pkcs8', format: 'pem' }), 'p256.pem')).toThrow(
      'Not an Ed25519 key',
    )
  })
})
