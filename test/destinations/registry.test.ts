import { afterEach, beforeEach, expect, test } from 'vitest'
import { Registries } from '../../registry/registries.ts'
import { serveRegistry, type RequestEvent, type ServedRegistry } from '../../registry/server/serve.ts'
import { collect, openBytes, proven } from '../../src/core/bytes.ts'
import { memoryCache } from '../../src/core/cache.ts'
import { copyImage, openDestination, openImage } from '../../src/destinations/index.ts'
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
