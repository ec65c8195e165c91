import { expect, test } from 'vitest'
import { KeptLocks } from '../../src/build/kept-locks.ts'
import { memoryCache, type Cache } from '../../src/core/cache.ts'
import type { Lock } from '../../src/lock/lock.ts'

const lockIn = (folder: string): Lock =>
  ({
    lockVersion: 1,
    platforms: [{ wheels: [{ name: 'a', url: `file://${folder}/a.whl` }], launcher: [] }],
  }) as unknown as Lock

function watched(): { readonly cache: Cache; readonly kept: string[] } {
  const cache = memoryCache()
  const kept: string[] = []
  return { cache: { get: cache.get, set: (key, bytes) => (kept.push(key), cache.set(key, bytes)) }, kept }
}

test('keeps a lock once for all who remember it, and gives it for the folder in which it is used', async () => {
  const { cache, kept } = watched()
  const name = await new KeptLocks(cache).keep(lockIn('/one'), '/one')
  expect(await new KeptLocks(cache).keep(lockIn('/other'), '/other')).toBe(name)
  expect(kept).toHaveLength(1)
  expect(await new KeptLocks(cache).find(name, '/one')).toEqual(lockIn('/one'))
  expect(await new KeptLocks(cache).find(name, '/else')).toEqual(lockIn('/else'))
})

test('knows nothing of a lock that is lost, is another one than its name says, or has no name', async () => {
  const { cache, kept } = watched()
  const locks = new KeptLocks(cache)
  const name = await locks.keep(lockIn('/one'), '/one')
  const other = await locks.keep(lockIn('/elsewhere'), '/one')
  await cache.set(kept[0] ?? '', (await cache.get(kept[1] ?? '')) ?? Buffer.alloc(0))
  expect(await locks.find(name, '/one')).toBeUndefined()
  expect(await locks.find(other, '/one')).toBeDefined()
  expect(await locks.find(`sha256:${'0'.repeat(64)}`, '/one')).toBeUndefined()
  expect(await locks.find({ lockVersion: 1 }, '/one')).toBeUndefined()
  // What was damaged is kept anew.
  expect(await locks.keep(lockIn('/one'), '/one')).toBe(name)
  expect(await locks.find(name, '/one')).toEqual(lockIn('/one'))
})
