import { describe, expect, it } from 'vitest'
import { memoryCache, type Cache } from '../../src/core/cache.ts'
import { packedCache } from '../../src/core/packed-cache.ts'

describe('packedCache()', () => {
  it('gives every entry back, before and after it was written', async () => {
    const { files } = counting()
    const cache = packedCache(files)
    await setAll(cache, 'a', 500)
    expect(await textsOf(cache, 'a', 500)).toEqual(texts('a', 500))
    await cache.flush()
    expect(await textsOf(cache, 'a', 500)).toEqual(texts('a', 500))
    expect(await textsOf(packedCache(files), 'a', 500)).toEqual(texts('a', 500))
    expect(await packedCache(files).get('other')).toBeUndefined()
  })

  it('writes thousands of small entries as few, and nothing when nothing was set', async () => {
    const { files, written } = counting()
    const cache = packedCache(files)
    await setAll(cache, 'a', 4000)
    expect(written.size).toBe(0)
    await cache.flush()
    expect(written.size).toBeLessThanOrEqual(128)
    const before = [...written.values()].reduce((sum, times) => sum + times, 0)
    await cache.flush()
    await packedCache(files).flush()
    expect([...written.values()].reduce((sum, times) => sum + times, 0)).toBe(before)
  })

  it('adds to what others have written since it looked', async () => {
    const { files } = counting()
    const [one, other] = [packedCache(files), packedCache(files)]
    expect(await textsOf(one, 'b', 300)).toEqual(Array.from({ length: 300 }))
    await setAll(one, 'a', 300)
    await setAll(other, 'b', 300)
    await Promise.all([one.flush(), other.flush()])
    expect(await textsOf(one, 'a', 300)).toEqual(texts('a', 300))
    expect(await textsOf(one, 'b', 300)).toEqual(texts('b', 300))
  })

  it('keeps a large entry by itself at once, and forgets what was small before', async () => {
    const { files, written } = counting()
    const cache = packedCache(files)
    await cache.set('page', Buffer.from('small'))
    await cache.flush()
    const large = Buffer.alloc(4096, 'x')
    await cache.set('page', large)
    expect(written.get('page')).toBe(1)
    expect(await cache.get('page')).toEqual(large)
    await cache.flush()
    expect(await packedCache(files).get('page')).toEqual(large)
    await cache.set('page', Buffer.from('small again'))
    await cache.flush()
    expect((await packedCache(files).get('page'))?.toString()).toBe('small again')
  })

  it('reads entries that an earlier version wrote by themselves', async () => {
    const { files } = counting()
    await files.set('page', Buffer.from('of old'))
    expect((await packedCache(files).get('page'))?.toString()).toBe('of old')
  })

  it.each([
    ['cut', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['empty', () => Buffer.alloc(0)],
    ['of zeros', (bytes: Buffer) => Buffer.alloc(bytes.length)],
    ['changed in its table', (bytes: Buffer) => changed(bytes, 20)],
    ['changed in an entry', (bytes: Buffer) => changed(bytes, bytes.length - 2)],
  ])('takes a pack that is %s for none, and writes it anew', async (_, damage) => {
    const { files, keys } = counting()
    const cache = packedCache(files)
    await setAll(cache, 'a', 1000)
    await cache.flush()
    for (const key of keys()) await files.set(key, damage((await files.get(key)) ?? Buffer.alloc(0)))
    expect(await textsOf(packedCache(files), 'a', 1000)).toEqual(Array.from({ length: 1000 }))
    await setAll(cache, 'a', 1000)
    await cache.flush()
    expect(await textsOf(packedCache(files), 'a', 1000)).toEqual(texts('a', 1000))
  })

  it('lets go of what was written first when there is too much of it', async () => {
    const { files } = counting()
    const cache = packedCache(files)
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 4000; n++) await cache.set(`${round} ${n}`, Buffer.alloc(4000, round))
      await cache.flush()
    }
    const fresh = packedCache(files)
    const kept = async (round: number): Promise<number> => {
      const all = await Promise.all(Array.from({ length: 4000 }, (_, n) => fresh.get(`${round} ${n}`)))
      return all.filter((bytes) => bytes?.equals(Buffer.alloc(4000, round))).length
    }
    expect(await kept(0)).toBe(0)
    expect(await kept(2)).toBeGreaterThan(3500)
    expect((await kept(1)) + (await kept(2))).toBeLessThanOrEqual((16 << 20) / 4000)
  })

  it('fails when nothing can be written', async () => {
    const full: Cache = { get: async () => undefined, set: () => Promise.reject(new Error('disk full')) }
    const cache = packedCache(full)
    await cache.set('a', Buffer.from('b'))
    await expect(cache.flush()).rejects.toThrow('disk full')
  })
})

function counting(): { files: Cache; written: Map<string, number>; keys: () => string[] } {
  const memory = memoryCache()
  const written = new Map<string, number>()
  const set = async (key: string, bytes: Uint8Array): Promise<void> => {
    written.set(key, (written.get(key) ?? 0) + 1)
    await memory.set(key, bytes)
  }
  return { files: { get: memory.get, set }, written, keys: () => [...written.keys()] }
}

function texts(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, n) => `${prefix} says ${n}`)
}

async function setAll(cache: Cache, prefix: string, count: number): Promise<void> {
  for (const [n, text] of texts(prefix, count).entries()) await cache.set(`${prefix} ${n}`, Buffer.from(text))
}

function textsOf(cache: Cache, prefix: string, count: number): Promise<(string | undefined)[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, n) => (await cache.get(`${prefix} ${n}`))?.toString('utf8')),
  )
}

function changed(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}
