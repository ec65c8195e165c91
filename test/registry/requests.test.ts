import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Layer } from '../../layers/layer.ts'
import { collect, type Open } from '../../src/core/bytes.ts'
import {
  copyContent,
  copyImage,
  memoryDestination,
  memoryImages,
  openDestination,
  openImage,
  openSource,
  readContent,
} from '../../src/destinations/index.ts'
import { makeImage } from '../../src/image/make-image.ts'
import { startFaultRegistry, type FaultRegistry } from '../support/fault-registry.ts'
import { quickRegistries } from '../support/registries.ts'
import { sampleImage, sampleLayer } from '../support/sample-image.ts'

/*
 * What a registry is asked, for an image of 20 layers and a configuration. The best of crane, skopeo, regctl and oras
 * needs 65 requests for the fresh push, 1, 51, 45 and 22 for the others (`bench/registry.ts`).
 */

const image = sampleImage({ layers: Array.from({ length: 20 }, (_, index) => sampleLayer(`layer-${index}`, 50)) })
let registry: FaultRegistry

beforeEach(async () => void (registry = await startFaultRegistry()))
afterEach(() => registry.close())

const at = (repository: string): string => `${registry.host}/${repository}:v1`

test('a fresh push: 44', async () => {
  const { registries } = quickRegistries()
  await copyImage(image, await openDestination(at('app'), { registries }))
  expect(registry.requests.length).toBe(44)
})

test('the same push again: 1', async () => {
  await registry.seed('app', 'v1', image)
  const { registries } = quickRegistries()
  await copyImage(image, await openDestination(at('app'), { registries }))
  expect(registry.kinds()).toEqual(['head-manifest'])
})

test('the same image under another tag: 4', async () => {
  await registry.seed('app', 'v0', image)
  const { registries } = quickRegistries()
  await copyImage(image, await openDestination(at('app'), { registries }))
  expect(registry.kinds()).toEqual(['head-manifest', 'mount', 'head-manifest', 'put-manifest'])
})

test('an image derived from a base in another repository, one layer more: 26, and no base layer is read', async () => {
  await registry.seed('base', 'v1', image)
  const { registries } = quickRegistries()
  const base = await openImage(at('base'), { registries })
  registry.calm()
  const derived = makeImage({
    platform: { os: 'linux', architecture: 'amd64' },
    layers: [...base.layers, sampleLayer('own')],
    runtime: { Cmd: ['/own'] },
    baseLayerCount: base.layers.length,
    annotations: {},
    created: '1970-01-01T00:00:00Z',
    format: 'oci',
  })
  const result = await copyImage(derived, await openDestination(at('app'), { registries }))
  expect(result.blobs).toEqual({ exists: 0, mounted: 20, uploaded: 2 })
  expect(registry.requests.length).toBe(26)
  expect(registry.kinds()).not.toContain('get-blob')
})

test('a copy to another repository: 24', async () => {
  await registry.seed('app', 'v1', image)
  const { registries } = quickRegistries()
  const source = await openSource(at('app'), { registries })
  await copyContent(await readContent(source), await openDestination(at('other'), { registries }))
  expect(registry.requests.length).toBe(24)
})

test('a pull: 22', async () => {
  await registry.seed('app', 'v1', image)
  const { registries } = quickRegistries()
  const images = memoryImages()
  const source = await openSource(at('app'), { registries })
  await copyContent(await readContent(source), memoryDestination(images, 'app'))
  expect(registry.requests.length).toBe(22)
  expect(images.blobs.size).toBe(22)
})

test('a push with bearer authentication: one token, one question more', async () => {
  await registry.close()
  registry = await startFaultRegistry({ protection: { kind: 'bearer' } })
  const { registries } = quickRegistries()
  await copyImage(image, await openDestination(at('app'), { registries }))
  expect(registry.requests.length).toBe(46)
  expect(registry.kinds().filter((kind) => kind === 'token').length).toBe(1)
})

test('layers of another registry are streamed through, each read once', async () => {
  const elsewhere = await startFaultRegistry()
  await registry.seed('app', 'v1', image)
  const { registries } = quickRegistries()
  const source = await openSource(at('app'), { registries })
  await copyContent(await readContent(source), await openDestination(`${elsewhere.host}/app:v1`, { registries }))
  expect(registry.kinds().filter((kind) => kind === 'get-blob').length).toBe(21)
  expect(elsewhere.requests.length).toBe(44)
  const { registries: others } = quickRegistries()
  const back = await openImage(`${elsewhere.host}/app:v1`, { registries: others })
  expect(await collect((back.layers[7] ?? sampleLayer('none')).open(), 1 << 20)).toHaveLength(
    image.layers[7]?.descriptor.size ?? -1,
  )
  await elsewhere.close()
})

test('two pushes to one registry share its limit', async () => {
  const { registries } = quickRegistries()
  const running = { now: 0, most: 0 }
  let meet = (): void => {}
  const met = new Promise<void>((resolve) => (meet = resolve))
  const watched = (name: string): Layer => {
    const layer = sampleLayer(name, 200_000)
    const open: Open = async function* (options) {
      running.most = Math.max(running.most, ++running.now)
      // Nobody goes on before as many have begun as may, and then a moment later: a fifth would begin meanwhile.
      if (running.now === 4) meet()
      await met
      await new Promise((resolve) => setTimeout(resolve, 20))
      try {
        yield* layer.open(options)
      } finally {
        running.now--
      }
    }
    return { ...layer, open }
  }
  const push = async (name: string): Promise<unknown> => {
    const layers = Array.from({ length: 6 }, (_, index) => watched(`${name}-${index}`))
    return copyImage(sampleImage({ layers }), await openDestination(at(name), { registries }))
  }
  await Promise.all([push('one'), push('two')])
  expect(running.most).toBe(4)
})
