import { setTimeout } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { visitEntries } from '../../layers/project-visit.ts'

const folders = [
  { at: 'a', names: Array.from({ length: 300 }, (_, n) => `${n}`) },
  { at: 'b', names: [] },
  { at: 'c', names: ['x', 'y'] },
]
const all = folders.flatMap(({ at, names }) => names.map((name) => `${at}/${name}`))

describe('visitEntries()', () => {
  test('does what is wanted in order, one after the other', async () => {
    const seen: string[] = []
    const isWanted = (_: unknown, n: number): boolean => n % 2 === 0
    await visitEntries(
      folders,
      isWanted,
      ({ at }) =>
        (_, name) =>
          void seen.push(`${at}/${name}`),
      undefined,
    )
    expect(seen).toEqual(all.filter((path) => /[02468]$|x$/.test(path)))
  })

  test('does the rest beside, no more than 16 of them at once, and waits for all', async () => {
    let [running, most] = [0, 0]
    const seen = new Set<string>()
    let asked = 0
    const visitor =
      ({ at }: { at: string }) =>
      (_: number, name: string) => {
        asked++
        return async () => {
          most = Math.max(most, ++running)
          // What was asked for and is neither done nor being done is one at most: the loop waits.
          expect(asked - seen.size).toBeLessThanOrEqual(17)
          await setTimeout(asked % 7 === 0 ? 3 : 0)
          running--
          seen.add(`${at}/${name}`)
        }
      }
    await visitEntries(folders, () => true, visitor, undefined)
    expect([...seen].sort()).toEqual(all.toSorted())
    expect([running, most]).toEqual([0, 16])
  })

  test('fails with the first failure, starts nothing after it, and leaves nothing at work', async () => {
    let [running, started] = [0, 0]
    const visitor = () => (n: number) => async () => {
      started++
      running++
      await setTimeout(n === 20 ? 1 : 5)
      running--
      if (n >= 20) throw new Error(`failed at ${n}`)
    }
    await expect(visitEntries(folders, () => true, visitor, undefined)).rejects.toThrow('failed at 20')
    expect(running).toBe(0)
    expect(started).toBeLessThan(80)
  })

  test('waits for what is at work when it fails itself', async () => {
    let running = 0
    const visitor = () => (n: number) => {
      if (n === 5) throw new Error('at once')
      return async () => {
        running++
        await setTimeout(5)
        running--
      }
    }
    await expect(visitEntries(folders, () => true, visitor, undefined)).rejects.toThrow('at once')
    expect(running).toBe(0)
  })

  test('does entries beside each other after a slow slice, ever more of them, and tries again', async () => {
    let now = 0
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now)
    try {
      const slices: boolean[] = []
      const names = Array.from({ length: 64 * 12 }, (_, n) => `${n}`)
      const visitor = () => (n: number, _: string, isQuick: boolean) => {
        if (n % 64 === 0) slices.push(isQuick)
        // Slow until the ninth slice.
        if (isQuick && n < 8 * 64) now += 1
        return isQuick ? undefined : async () => {}
      }
      await visitEntries([{ names }], () => true, visitor, undefined)
      const [quick, slow] = [true, false]
      expect(slices).toEqual([quick, slow, quick, slow, slow, quick, slow, slow, slow, slow, quick, quick])
    } finally {
      clock.mockRestore()
    }
  })

  test('stops when it is told to', async () => {
    const aborter = new AbortController()
    let count = 0
    const visitor = () => () => void (++count === 10 && aborter.abort(new Error('enough')))
    await expect(visitEntries(folders, () => true, visitor, aborter.signal)).rejects.toThrow('enough')
    expect(count).toBeLessThan(100)
  })
})
