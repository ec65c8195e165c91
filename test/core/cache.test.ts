import { expect, test } from 'vitest'
import { memoryCache } from '../../src/core/cache.ts'

test('memoryCache() holds what it was given, and no more memory than that', async () => {
  const cache = memoryCache()
  const given = Buffer.from('an answer')
  await cache.set('key', given)
  given.fill(0)
  const kept = (await cache.get('key')) ?? expect.unreachable()
  expect(kept.toString()).toBe('an answer')
  expect(kept.buffer.byteLength).toBe(kept.length)
  expect(await cache.get('other')).toBeUndefined()
})
