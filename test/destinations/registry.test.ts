import { afterEach, beforeEach, expect, test } from 'vitest'
import { Registries } from '../../registry/registries.ts'
import { serveRegistry, type RequestEvent, type ServedRegistry } from '../../registry/server/serve.ts'
import { collect, openBytes, proven } from '../../src/core/bytes.ts'
import { memoryCache } from '../../src/core/cache.ts'
import { startDelivery } from '../../src/destinations/copy.ts'
import { contentOf, copyImage, openDestination, openImage } from '../../src/destinations/index.ts'
import type { ImageIndex } from '../../src/image/image.ts'
import { makeIndex } from '../../src/image/make-image.ts'
import { sampleImage, sampleLayer } from '../support/sample-image.ts'

const stable = [sampleLayer('one'), sampleLayer('two'), sampleLayer('three')]
const contents = memoryCache()
let requests: RequestEvent[]
let registry: ServedRegistry
let registries: Registries
beforeEach(async () => {
  requests = []
  registry = await serveRegistry({ storage: { kind: 'memory' }, onRequest: (event) => requests.push(event) })
  registries = new Registries({ env: {}, home: '/nonexistent' })
})
afterEach(() => registry.close())

async function push(code: string, to = 'app:v1'): Promise<void> {
  requests.length = 0
  const image = sampleImage({ layers: [...stable, sampleLayer(code)] })
  await copyImage(image, await openDestination(`docker://${registry.authority}/${to}`, { registries, contents }))
}

test('a push over an image that was pushed before asks for none of its blobs', async () => {
  await push('code')
  await push('code, changed')
  // The tag; POST and PUT of a layer and of the configuration; the manifest.
  expect(requests).toHaveLength(6)
  const { layers } = await openImage(`docker://${registry.authority}/app:v1`, { registries })
  expect(layers).toHaveLength(4)
})

test('of an image that somebody else pushed the manifest tells which blobs are there', async () => {
  await push('code')
  const fresh = async (code: string, to: string): Promise<number> => {
    requests.length = 0
    const image = sampleImage({ layers: [...stable, sampleLayer(code)] })
    await copyImage(image, await openDestination(`docker://${registry.authority}/${to}`, { registries }))
    return requests.length
  }
  // One more than where it was remembered: the manifest.
  expect(await fresh('code, changed', 'app:v1')).toBe(7)
  expect(requests.filter(({ method, url }) => method === 'GET' && url.includes('/manifests/'))).toHaveLength(1)
  // Nothing is believed of a tag that is not there.
  expect(await fresh('code of a third', 'app:v3')).toBeGreaterThan(7)
})

test('blobs that come before the image is known are not asked for one by one either', async () => {
  await push('code')
  requests.length = 0
  const image = sampleImage({ layers: [...stable, sampleLayer('code, changed')] })
  const destination = await openDestination(`docker://${registry.authority}/app:v1`, { registries })
  const delivery = startDelivery(destination)
  for (const layer of stable) delivery.offer(layer)
  const { blobs } = await delivery.finish(contentOf(image))
  expect(blobs).toEqual({ exists: 3, mounted: 0, uploaded: 2 })
  expect(requests).toHaveLength(7)
})

test('of a blob that a repository has under another tag, one question tells', async () => {
  await push('code')
  requests.length = 0
  const destination = await openDestination(`docker://${registry.authority}/app:v2`, { registries })
  const delivery = startDelivery(destination)
  const [first, ...others] = stable
  expect(await delivery.has(first?.descriptor.digest ?? expect.unreachable())).toBe(true)
  expect(await delivery.has(sampleLayer('unknown').descriptor.digest)).toBe(false)
  await delivery.finish(contentOf(sampleImage({ layers: [...stable, sampleLayer('code, changed')] })))
  const named = ({ digest }: { readonly digest: string }): number =>
    requests.filter(({ url }) => decodeURIComponent(url).includes(digest)).length
  expect(named(first?.descriptor ?? expect.unreachable())).toBe(1)
  for (const { descriptor } of others) expect(named(descriptor)).toBe(1)
})

test('the manifests of an index are read for their blobs, those of a large one are not', async () => {
  const indexOf = (count: number, code: string): ImageIndex =>
    makeIndex(
      Array.from({ length: count }, (_, n) => ({
        platform: { os: 'linux', architecture: 'amd64', variant: `v${n}` },
        image: sampleImage({ layers: [...stable, sampleLayer(`${code} ${n}`)] }),
      })),
      {},
      'oci',
    )
  const pushIndex = async (index: ImageIndex): Promise<readonly RequestEvent[]> => {
    requests.length = 0
    await copyImage(index, await openDestination(`docker://${registry.authority}/several:v1`, { registries }))
    return requests
  }
  const gets = (events: readonly RequestEvent[]): number => events.filter(({ method }) => method === 'GET').length
  await pushIndex(indexOf(2, 'code'))
  const changed = await pushIndex(indexOf(2, 'changed'))
  expect(gets(changed)).toBe(3)
  // The tag and these; POST and PUT of two layers and two configurations; three manifests.
  expect(changed).toHaveLength(1 + 3 + 8 + 3)
  await pushIndex(indexOf(7, 'many'))
  expect(gets(await pushIndex(indexOf(7, 'many, changed')))).toBe(1)
})

test('an index that lost a manifest does not keep another one from being pushed over it', async () => {
  const [platform, other] = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }) as const)
  if (platform === undefined || other === undefined) expect.unreachable()
  const pushed = async (code: string): Promise<ImageIndex> => {
    const members = [platform, other].map((of) => ({
      platform: of,
      image: sampleImage({ layers: [...stable, sampleLayer(code)], architecture: of.architecture }),
    }))
    const index = makeIndex(members, {}, 'oci')
    await copyImage(index, await openDestination(`docker://${registry.authority}/lost:v1`, { registries }))
    return index
  }
  const { images } = await pushed('code')
  const client = registries.client({ registry: registry.authority, repository: 'lost' }, { actions: 'delete' })
  await client.deleteManifest(images[0]?.image.descriptor.digest ?? expect.unreachable())
  const changed = await pushed('code, changed')
  expect((await client.headManifest('v1'))?.digest).toBe(changed.descriptor.digest)
})

test('what a tag had is not believed of another tag or another registry', async () => {
  await push('code')
  const before = requests.length
  await push('code, changed', 'app:v2')
  expect(requests.length).toBeGreaterThan(6)
  await registry.close()
  registry = await serveRegistry({ storage: { kind: 'memory' }, onRequest: (event) => requests.push(event) })
  await push('code, changed again')
  expect(requests).toHaveLength(before)
})

test('a repository is new while it has no tag, and a tag that is there is asked for once', async () => {
  const open = (to: string): ReturnType<typeof openDestination> =>
    openDestination(`docker://${registry.authority}/${to}`, { registries, contents })
  expect(await (await open('app:v1')).isNew?.()).toBe(true)
  await push('code')
  expect(await (await open('app:v2')).isNew?.()).toBe(false)
  requests.length = 0
  const again = await open('app:v1')
  expect(await again.isNew?.()).toBe(false)
  await copyImage(sampleImage({ layers: [...stable, sampleLayer('code, changed')] }), again)
  // As without the first question.
  expect(requests).toHaveLength(6)
})

test('a tag that was moved after it was asked for is put back', async () => {
  const image = sampleImage({ layers: [...stable, sampleLayer('code')] })
  await push('code')
  const destination = await openDestination(`docker://${registry.authority}/app:v1`, { registries, contents })
  await destination.isNew?.()
  await push('code of somebody else')
  expect((await copyImage(image, destination)).outcome).toBe('copied')
  const { descriptor } = await openImage(`docker://${registry.authority}/app:v1`, { registries })
  expect(descriptor.digest).toBe(image.descriptor.digest)
})

test('blobs that got lost under a manifest that stayed are brought again', async () => {
  await push('code')
  const [lost] = stable
  const client = registries.client({ registry: registry.authority, repository: 'app' }, { actions: 'delete' })
  if (lost !== undefined) await client.deleteBlob(lost.descriptor.digest)
  await push('code, changed')
  const { layers } = await openImage(`docker://${registry.authority}/app:v1`, { registries })
  for (const { descriptor } of layers) expect(await client.headBlob(descriptor.digest)).toBeDefined()
})

test('a layer that was hashed when it was written, and damaged since, is looked at when the registry refuses it', async () => {
  const layer = sampleLayer('proven')
  const asked: (boolean | undefined)[] = []
  const open = proven((options) => {
    asked.push(options?.isVerified)
    return asked.length < 3 ? openBytes(Buffer.alloc(layer.descriptor.size))(options) : layer.open(options)
  })
  const image = sampleImage({ layers: [...stable, { ...layer, open }] })
  await copyImage(image, await openDestination(`docker://${registry.authority}/app:v1`, { registries }))
  // Sent unseen, then compared while it is sent, then by whoever keeps it.
  expect(asked).toEqual([true, true, false])
  const { layers } = await openImage(`docker://${registry.authority}/app:v1`, { registries })
  const arrived = layers[3] ?? expect.unreachable('The layer is not there')
  expect(await collect(arrived.open(), 2 ** 20)).toEqual(await collect(layer.open(), 2 ** 20))
})
