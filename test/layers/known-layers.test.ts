import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OCI } from 'oci-spec-types'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { knownLayerStore } from '../../layers/known-layers.ts'
import { layerStore } from '../../layers/layer-store.ts'
import type { StoredLayer } from '../../layers/stored-layer.ts'
import { collect, openBytes } from '../../src/core/bytes.ts'
import { digestOf } from '../../src/core/digest.ts'
import { Store } from '../../src/store/store.ts'

const bytes = Buffer.from('the bytes of a layer')
const record = { mediaType: OCI.layerGzip, digest: digestOf(bytes), size: bytes.length, diffId: digestOf('its tar') }
let folder: string
let store: Store
let made: number

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'known-layers-'))
  store = await Store.open(folder)
  made = 0
})
afterEach(() => rm(folder, { recursive: true }))

/** A layer of a lock file, which comes out as the bytes given. */
async function known(comesOut: Buffer): Promise<StoredLayer> {
  const layers = knownLayerStore(
    layerStore(store),
    {
      find: (key) => (key === 'a' ? record : undefined),
      make: async () => (
        made++,
        { mediaType: record.mediaType, blob: openBytes(comesOut)(), diffId: () => record.diffId }
      ),
      isKept: () => true,
      isWorthwhile: async () => true,
      nameOf: (key) => `the layer ${key}`,
      isVerifying: false,
    },
    store,
  )
  return (await layers.find('a')) ?? expect.unreachable('The layer is not known')
}

test('a known layer is made once, kept, and the same for who sends it unseen', async () => {
  const { open } = await known(bytes)
  expect(open.isProven).toBe(true)
  expect(await collect(open({ isVerified: true, reuse: true }), 100)).toEqual(bytes)
  expect(await collect(open({ isVerified: true }), 100)).toEqual(bytes)
  expect(await store.has(record.digest)).toBe(bytes.length)
  expect(made).toBe(1)
})

test.each([Buffer.from('the bytes of a laYer'), Buffer.from('short'), Buffer.from('much longer than was said')])(
  'a layer that is another one than the lock says is refused and not kept, also for who compares nothing: %s',
  async (comesOut) => {
    const { open } = await known(comesOut)
    await expect(collect(open({ isVerified: true }), 100)).rejects.toMatchObject({
      code: expect.stringMatching(/^(?:DIGEST|SIZE)_MISMATCH$/) as string,
      message: expect.stringContaining('the layer a') as string,
    })
    expect(await store.has(record.digest)).toBeUndefined()
  },
)

test('a kept copy that was damaged is noticed, also for who compares nothing', async () => {
  const { open } = await known(bytes)
  await collect(open(), 100)
  await writeFile(store.path(record.digest), Buffer.alloc(bytes.length))
  await expect(collect(open({ isVerified: true }), 100)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
})
