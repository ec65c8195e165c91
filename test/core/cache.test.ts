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

test('memoryCache() holds nothing large, and not what that took the place of', async () => {
  const cache = memoryCache()
  await cache.set('key', Buffer.alloc(1 << 20))
  expect(await cache.get('key')).toHaveLength(1 << 20)
  await cache.set('key', Buffer.alloc((1 << 20) + 1))
  expect(await cache.get('key')).toBeUndefined()
})
