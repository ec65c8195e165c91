import { afterEach, beforeEach, expect, test } from 'vitest'
import { serveRegistry, type ServedRegistry } from '../../registry/server/serve.ts'
import type { TagClient } from '../../src/versions/move-tag.ts'
import { promote } from '../../src/versions/promote.ts'
import { rollback } from '../../src/versions/rollback.ts'
import { pushImage, type PushedImage } from '../registry/server/push.ts'
import { quickRegistries } from '../support/registries.ts'

const NOW = Date.parse('2026-11-26T17:30:00Z') / 1000

let served: ServedRegistry
let images: Readonly<Record<'a' | 'b' | 'c', PushedImage>>
let client: TagClient
beforeEach(async () => {
  served = await serveRegistry({ storage: { kind: 'memory' } })
  const push = (tag: string): Promise<PushedImage> => pushImage(served.url, 'app', tag)
  images = { a: await push('a'), b: await push('b'), c: await push('c') }
  const { registries } = quickRegistries()
  client = registries.client({ registry: served.authority, repository: 'app' }, { actions: 'push' })
})
afterEach(() => served.close())

/** A client during whose writes somebody else's work is done, once: when the reference that is written fits. */
function meanwhile(when: RegExp, work: () => Promise<unknown>): TagClient {
  let isDone = false
  return {
    registry: client.registry,
    repository: client.repository,
    tags: () => client.tags(),
    headManifest: (reference) => client.headManifest(reference),
    getManifest: (reference) => client.getManifest(reference),
    putManifest: async (reference, manifest) => {
      await client.putManifest(reference, manifest)
      if (isDone || !when.test(reference)) return
      isDone = true
      await work()
    },
  }
}

test('promote() says so when somebody else moved the tag meanwhile, and both ways are kept', async () => {
  await promote(client, 'a', 'stable', NOW)
  const busy = meanwhile(/^stable$/, () => promote(client, 'c', 'stable', NOW))
  await expect(promote(busy, 'b', 'stable', NOW)).rejects.toMatchObject({
    code: 'TAG_MOVED',
    data: { tag: 'stable', wanted: images.b.digest, found: images.c.digest },
  })
  expect((await client.headManifest('stable'))?.digest).toBe(images.c.digest)
  const records: string[] = []
  for await (const tag of client.tags()) if (tag.startsWith('stable.')) records.push(tag)
  const kept = await Promise.all(records.map(async (record) => (await client.headManifest(record))?.digest))
  expect(new Set(kept)).toEqual(new Set([images.a.digest, images.b.digest, images.c.digest]))
})

test('promote() that ends after the tag was moved loses nothing: the next one records it', async () => {
  await promote(client, 'a', 'stable', NOW)
  const dying = meanwhile(/^stable$/, () => Promise.reject(new Error('killed')))
  await expect(promote(dying, 'b', 'stable', NOW)).rejects.toThrow('killed')
  await promote(client, 'c', 'stable', NOW)
  for (const { digest } of [images.b, images.a])
    expect((await rollback(client, 'stable', undefined, NOW)).to).toBe(digest)
})

test('promote() that ends before the tag was moved leaves nothing that never was', async () => {
  await promote(client, 'a', 'stable', NOW)
  await client.putManifest('stable', await client.getManifest('b'))
  const dying = meanwhile(/^stable\./, () => Promise.reject(new Error('killed')))
  await expect(promote(dying, 'c', 'stable', NOW)).rejects.toThrow('killed')
  expect((await client.headManifest('stable'))?.digest).toBe(images.b.digest)
  expect((await rollback(client, 'stable', undefined, NOW)).to).toBe(images.a.digest)
})

test('rollback() goes to an earlier place of the image that the tag means', async () => {
  for (const version of ['a', 'b', 'a']) await promote(client, version, 'stable', NOW)
  expect(await rollback(client, 'stable', '1', NOW)).toMatchObject({ number: 1, isUnchanged: true })
  await expect(rollback(client, 'stable', undefined, NOW)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
})
