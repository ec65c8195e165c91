import { expect, test } from 'vitest'
import { makeLimiter } from '../../src/core/limits.ts'

test('makeLimiter() lets so many at a time, in order, and counts the waiting of the others alone', async () => {
  const waits: number[] = []
  const limit = makeLimiter(2, (ms) => void waits.push(ms))
  const started: number[] = []
  const release: (() => void)[] = []
  const work = (n: number): Promise<number> =>
    limit(async () => {
      started.push(n)
      await new Promise<void>((resolve) => release.push(resolve))
      return n
    })
  const all = [1, 2, 3].map(work)
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(started).toEqual([1, 2])
  expect(waits).toEqual([])
  release.shift()?.()
  await all[0]
  await new Promise((resolve) => setTimeout(resolve, 1))
  expect(started).toEqual([1, 2, 3])
  for (const go of release) go()
  expect(await Promise.all(all)).toEqual([1, 2, 3])
  expect(waits).toHaveLength(1)
  expect(limit.waitedMs()).toBe(waits[0])
  expect(limit.waitedMs()).toBeGreaterThan(0)
})

test('atOnce() begins without waiting, and takes a place as soon as one is free', async () => {
  const limit = makeLimiter(1)
  const ends: (() => void)[] = []
  const begun: string[] = []
  const work = (name: string) => (): Promise<void> => {
    begun.push(name)
    return new Promise((resolve) => ends.push(resolve))
  }
  const first = limit(work('first'))
  await expect.poll(() => begun).toEqual(['first'])
  const atOnce = limit.atOnce(work('at once'))
  const third = limit(work('third'))
  expect(begun).toEqual(['first', 'at once'])
  ends[0]?.()
  await first
  await new Promise((resolve) => setImmediate(resolve))
  // The place that came free is that of what has begun.
  expect(begun).toEqual(['first', 'at once'])
  ends[1]?.()
  await atOnce
  await expect.poll(() => begun).toEqual(['first', 'at once', 'third'])
  ends[2]?.()
  await third
  await expect(limit.atOnce(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
})

test('makeLimiter() gives a place back when work fails', async () => {
  const limit = makeLimiter(1)
  await expect(limit(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await limit(async () => 'yes')).toBe('yes')
})
