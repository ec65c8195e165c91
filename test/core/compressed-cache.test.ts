import { expect, test } from 'vitest'
import { memoryCache } from '../../src/core/cache.ts'
import { compressedCache } from '../../src/core/compressed-cache.ts'

const text = JSON.stringify(Array.from({ length: 500 }, (_, n) => ({ name: `part${n}`, version: '1.0' })))

test('gives back what was set, and takes less room', async () => {
  const files = memoryCache()
  await compressedCache(files).set('a', Buffer.from(text))
  expect((await compressedCache(files).get('a'))?.toString()).toBe(text)
  expect((await files.get('a'))?.length).toBeLessThan(text.length / 4)
  expect(await compressedCache(files).get('b')).toBeUndefined()
})

test.each([
  ['cut', (bytes: Buffer) => bytes.subarray(0, bytes.length - 9)],
  ['with a byte changed', (bytes: Buffer) => (bytes.writeUInt8((bytes[60] ?? 0) ^ 0xff, 60), bytes)],
  ['not compressed', () => Buffer.from(text)],
  ['empty', () => Buffer.alloc(0)],
])('takes an entry that is %s for none', async (_, damage) => {
  const files = memoryCache()
  const cache = compressedCache(files)
  await cache.set('a', Buffer.from(text))
  await files.set('a', damage(Buffer.from((await files.get('a')) ?? '')))
  expect(await cache.get('a')).toBeUndefined()
})
