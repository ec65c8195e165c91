import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OCI } from 'oci-spec-types'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Layer } from '../../layers/layer.ts'
import { indexLayer } from '../../layers/ztoc/index-layer.ts'
import { makeLazyImage, type LazyContext } from '../../src/build/lazy-image.ts'
import { ztocTables } from '../../src/build/ztoc-tables.ts'
import { silent } from '../../src/core/progress.ts'
import {
  contentOf,
  copyContent,
  memoryDestination,
  memoryImages,
  choosePlatform,
} from '../../src/destinations/index.ts'
import { isImageIndex, type Image, type ImageIndex } from '../../src/image/image.ts'
import { makeImage } from '../../src/image/make-image.ts'
import { Store } from '../../src/store/store.ts'
import { makeLayer } from '../support/layers.ts'

let folder = ''
let context: LazyContext
let large: Layer
let small: Layer

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lw-lazy-image-'))
  context = { store: await Store.open(join(folder, 'store')), report: silent, passed: new Set() }
  large = await makeLayer({ 'lib/large.so': randomBytes(11 * 2 ** 20).toString('latin1') })
  small = await makeLayer({ 'etc/small': 'x' })
})
afterAll(() => rm(folder, { recursive: true }))

const image = (...layers: Layer[]): Image =>
  makeImage({
    platform: { os: 'linux', architecture: 'amd64' },
    layers,
    runtime: {},
    baseLayerCount: 0,
    annotations: {},
    created: '1970-01-01T00:00:00Z',
    format: 'oci',
  })

async function makeIndexed(of: Image, changed: Partial<LazyContext> = {}) {
  const made = await makeLazyImage(of, { ...context, ...changed })
  if (!isImageIndex(made.image)) throw new TypeError('An image, not an index')
  return { index: made.image satisfies ImageIndex, artifacts: made.artifacts }
}

test('makeLazyImage() adds a list of tables that the image names, and leaves layers alone', async () => {
  const plain = image(small, large)
  const { index, artifacts } = await makeIndexed(plain)
  const [first, second] = index.index.manifests
  expect(second?.artifactType).toBe('application/vnd.amazon.soci.index.v2+json')
  const member = index.images[0]?.image
  expect(member?.manifest.layers).toEqual(plain.manifest.layers)
  expect(member?.manifest.annotations?.['com.amazon.soci.index-digest']).toBe(second?.digest)
  expect(second?.annotations?.['com.amazon.soci.image-manifest-digest']).toBe(first?.digest)
  expect(artifacts.flatMap(({ blobs }) => blobs.map(({ descriptor }) => descriptor.annotations))).toEqual([
    undefined,
    {
      'com.amazon.soci.image-layer-mediaType': OCI.layerGzip,
      'com.amazon.soci.image-layer-digest': large.descriptor.digest,
      'com.amazon.soci.span-size': '4194304',
    },
  ])
  // Both have the platform; the image is what runs.
  expect(choosePlatform(index.index.manifests, { os: 'linux', architecture: 'amd64' })).toBe(first)
})

test('makeLazyImage() of the same image has the same digest, and makes no table again', async () => {
  const first = await makeIndexed(image(large))
  const open = (): never => expect.unreachable('the layer was read again')
  const again = await makeIndexed(image({ ...large, open }))
  expect(again.index.descriptor.digest).toBe(first.index.descriptor.digest)
})

test('a table that was kept when the layer was made is not made again, and is the same', async () => {
  const store = await Store.open(join(folder, 'made'))
  await ztocTables(store).keep(large.descriptor.digest, await indexLayer(large))
  const open = (): never => expect.unreachable('the layer was read again')
  const kept = await makeIndexed(image({ ...large, open }), { store })
  expect(kept.index.descriptor.digest).toBe((await makeIndexed(image(large))).index.descriptor.digest)
})

test('makeLazyImage() refuses a layer whose content is not what its diffId says', async () => {
  const store = await Store.open(join(folder, 'other'))
  const lying = image({ ...large, diffId: small.diffId })
  await expect(makeIndexed(lying, { store })).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
})

test('a lazy image is carried with its tables', async () => {
  const { index, artifacts } = await makeIndexed(image(large))
  const images = memoryImages()
  const whole = contentOf(index)
  const content = { ...whole, children: [...whole.children, ...artifacts] }
  await copyContent(content, memoryDestination(images, 'lazy'))
  const named = index.index.manifests.map(({ digest }) => digest)
  for (const digest of named) expect(images.blobs.has(digest)).toBe(true)
  for (const { descriptor } of artifacts.flatMap(({ blobs }) => blobs))
    expect(images.blobs.has(descriptor.digest)).toBe(true)
})

test.each<[string, () => Image, () => Partial<LazyContext>]>([
  ['small layers alone', () => image(small), () => ({})],
  ["the base's layers", () => image(large), () => ({ passed: new Set([large.descriptor.digest]) })],
])('makeLazyImage() gives an image with %s back as it is', async (_, make, changed) => {
  const plain = make()
  expect(await makeLazyImage(plain, { ...context, ...changed() })).toEqual({ image: plain, artifacts: [] })
})
