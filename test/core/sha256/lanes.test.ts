import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { packageRoot } from '../../../src/core/package-root.ts'
import { Lanes, type LaneUser, type StreamHash } from '../../../src/core/sha256/lanes.ts'
import {
  addonProblem,
  loadSha256,
  MOST_JOBS,
  type LoadedSha256,
  type NativeSha256,
} from '../../../src/core/native/addon.ts'

const loaded = loadSha256()
const hexOf = (...parts: readonly Uint8Array[]): string =>
  createHash('sha256').update(Buffer.concat(parts)).digest('hex')

/** Every way that this processor has, and none at all. */
const ways: readonly (readonly [string, LoadedSha256 | undefined])[] = [
  ['Node', undefined],
  ...(loaded === undefined
    ? []
    : loaded.native
        .ways()
        .flatMap((name, way) => (name === undefined ? [] : [[name, { ...loaded, way, name }] as const]))),
]

describe.each(ways)('lanes hashed by %s', (_, by) => {
  const lanes = new Lanes(by ?? null)

  test('give what each stream is, whatever comes at once', async () => {
    for (let round = 0; round < 60; round++) {
      const streams = Array.from({ length: 1 + (round % 14) }, (_, n) => {
        const user = lanes.user({ isPatient: n % 3 === 2 })
        return { user, hash: user.open(), parts: [] as Buffer[] }
      })
      for (let step = 0; step < 5; step++) {
        const settled = streams.map(({ user, hash, parts }, n) => {
          // Around the length of a block, and much more of it.
          const bytes = randomBytes(
            n % 2 === 0 ? (round * 7 + step * 13 + n) % 130 : (round * 997 + n * 4_001) % 200_000,
          )
          parts.push(bytes)
          hash.update(bytes)
          return user.settled() ?? Promise.resolve()
        })
        await Promise.all(settled)
      }
      for (const { user, hash, parts } of streams) {
        expect(hash.digest().toString('hex')).toBe(hexOf(...parts))
        user.close()
      }
    }
  })

  test('take several pieces of one stream before anybody waits, and more streams than there is room for', () => {
    const user = lanes.user()
    const hashes = Array.from({ length: 300 }, () => user.open())
    for (const piece of ['a', 'bc', 'd'.repeat(200)]) for (const hash of hashes) hash.update(Buffer.from(piece))
    const digests = new Set(hashes.map((hash) => hash.digest().toString('hex')))
    expect([...digests]).toEqual([hexOf(Buffer.from(`abc${'d'.repeat(200)}`))])
    user.close()
  })

  test('give the hash of nothing, of other algorithms, and of shared memory', async () => {
    const user = lanes.user()
    expect(user.open().digest().toString('hex')).toBe(hexOf())
    const sha512 = user.open('sha512')
    sha512.update(Buffer.from('abc'))
    expect(sha512.digest()).toEqual(createHash('sha512').update('abc').digest())
    const shared = new Uint8Array(new SharedArrayBuffer(100_000), 17, 90_001).fill(7)
    const hash = user.open()
    hash.update(shared)
    await user.settled()
    expect(hash.digest().toString('hex')).toBe(hexOf(Buffer.from(shared)))
    user.close()
  })

  test("take nothing of a stream that is closed, whose place is another one's", () => {
    const user = lanes.user()
    const closed = user.open()
    closed.update(Buffer.from('abc'))
    closed.close()
    const next = user.open()
    closed.update(Buffer.from('not this'))
    next.update(Buffer.from('but this'))
    expect(() => closed.digest()).toThrow(TypeError)
    expect(next.digest().toString('hex')).toBe(hexOf(Buffer.from('but this')))
    expect(() => next.digest()).toThrow(TypeError)
    user.close()
  })

  test('forget a stream that is closed', async () => {
    const user = lanes.user()
    for (let n = 0; n < 1000; n++) {
      const hash = user.open()
      hash.update(randomBytes(10))
      hash.close()
      hash.close()
    }
    expect(user.settled()).toBeUndefined()
    user.close()
  })
})

/** An addon that notes what it is asked, and takes nothing of those that are not urgent. */
function noting(): { by: LoadedSha256; calls: { streams: number[]; urgent: number }[] } {
  const calls: { streams: number[]; urgent: number }[] = []
  const native: NativeSha256 = {
    ways: () => ['noting'],
    start: () => {},
    update: (_way, _states, indexes, chunks, _count, urgent, left) => {
      calls.push({ streams: [...indexes], urgent })
      for (const [at, { length }] of chunks.entries()) left[at] = urgent > 0 && at >= urgent ? length : 0
    },
    finish: () => {},
  }
  return { by: { native, way: 0, name: 'noting', lanes: 8 }, calls }
}

describe('what waits', () => {
  const large = Buffer.alloc(100_000)
  const opened = (lanes: Lanes, isPatient = false): { user: LaneUser; hash: StreamHash } => {
    const user = lanes.user({ isPatient })
    return { user, hash: user.open() }
  }

  test('is hashed at once when all that hash wait', async () => {
    const { by, calls } = noting()
    const lanes = new Lanes(by)
    const [a, b] = [opened(lanes), opened(lanes)]
    a.hash.update(large)
    const settled = a.user.settled()
    expect(calls).toHaveLength(0)
    b.hash.update(large)
    await Promise.all([settled, b.user.settled()])
    expect(calls).toEqual([{ streams: [0, 1], urgent: 2 }])
  })

  test('is hashed soon when others have nothing', async () => {
    const { by, calls } = noting()
    const lanes = new Lanes(by)
    const [a] = [opened(lanes), opened(lanes)]
    a.hash.update(large)
    await a.user.settled()
    expect(calls).toEqual([{ streams: [0], urgent: 1 }])
  })

  test('is hashed without a wait when the others were waited for too often, until they come again', async () => {
    const { by, calls } = noting()
    const lanes = new Lanes(by)
    const [a, b] = [opened(lanes), opened(lanes)]
    const isWaiting = (): boolean => {
      a.hash.update(large)
      return a.user.settled() !== undefined
    }
    let waits = 0
    for (; isWaiting(); waits++) await vi.waitFor(() => expect(calls).toHaveLength(waits + 1))
    expect(waits).toBe(8)
    b.hash.update(large)
    const settled = b.user.settled()
    expect(settled).toBeInstanceOf(Promise)
    a.hash.update(large)
    expect(a.user.settled()).toBeUndefined()
    expect(calls.at(-1)).toEqual({ streams: [1, 0], urgent: 2 })
    await settled
  })

  test('is hashed when the other one ends', async () => {
    const { by, calls } = noting()
    const lanes = new Lanes(by)
    const [a, b] = [opened(lanes), opened(lanes)]
    a.hash.update(large)
    const settled = a.user.settled()
    b.user.close()
    expect(calls).toHaveLength(1)
    await settled
  })

  test('is hashed without a wait when there is one user, or little of it', () => {
    const { by, calls } = noting()
    const lanes = new Lanes(by)
    const a = opened(lanes)
    a.hash.update(large)
    expect(a.user.settled()).toBeUndefined()
    const b = opened(lanes)
    b.hash.update(large.subarray(0, 1000))
    expect(b.user.settled()).toBeUndefined()
    expect(calls).toHaveLength(2)
  })

  test('of a patient user is taken beside what others need, and wholly when they need nothing', async () => {
    const { by, calls } = noting()
    const lanes = new Lanes(by)
    const [patient, other] = [opened(lanes, true), opened(lanes)]
    patient.hash.update(large)
    let isSettled = false
    const settled = patient.user.settled()?.then(() => (isSettled = true))
    other.hash.update(large)
    expect(other.user.settled()).toBeUndefined()
    await Promise.resolve()
    expect([calls, isSettled]).toEqual([[{ streams: [1, 0], urgent: 1 }], false])
    await settled
    expect(calls.at(-1)).toEqual({ streams: [0], urgent: 0 })
  })

  test('of patient users waits for those that have been coming, for some milliseconds', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] })
    try {
      const { by, calls } = noting()
      const lanes = new Lanes(by)
      const [a, b] = [opened(lanes, true), opened(lanes, true)]
      const come = ({ user, hash }: typeof a): Promise<void> => {
        hash.update(large)
        return user.settled() ?? Promise.resolve()
      }
      await come(a)
      const together = [come(b), vi.advanceTimersByTimeAsync(1), come(a)]
      await Promise.all(together)
      const alone = come(b)
      await vi.advanceTimersByTimeAsync(3)
      expect(calls).toHaveLength(2)
      await vi.advanceTimersByTimeAsync(1)
      await alone
      expect(calls.map(({ streams }) => streams)).toEqual([[0], [1, 0], [1]])
    } finally {
      vi.useRealTimers()
    }
  })

  test('is never more than one call takes', () => {
    const { by, calls } = noting()
    const user = new Lanes(by).user()
    for (let n = 0; n <= MOST_JOBS; n++) user.open().update(large)
    expect(calls).toEqual([{ streams: Array.from({ length: MOST_JOBS }, (_, n) => n), urgent: MOST_JOBS }])
  })
})

const isGate =
  process.env['LAYERWRIGHT_INTEROP'] === 'required' && `${process.platform}-${process.arch}` === 'linux-x64'

test.runIf(isGate)('the addon is there where there is a compiler', () => {
  expect(addonProblem()).toBeUndefined()
  expect(existsSync(join(packageRoot(), 'dist/native/linux-x64.node'))).toBe(true)
})

test.skipIf(loaded === undefined)('the addon refuses what would read or write elsewhere', () => {
  if (loaded === undefined) return expect.unreachable()
  const { native, way } = loaded
  const states = new Uint8Array(112 * 2)
  const left = new Uint32Array(4)
  const bytes = new Uint8Array(10)
  expect(() => native.start(states, 2)).toThrow(/no such state/)
  expect(() => native.update(way, states, [2], [bytes], 1, 1, left)).toThrow(/no such state/)
  expect(() => native.update(way, states, [0, 0], [bytes, bytes], 2, 2, left)).toThrow(/a state twice/)
  expect(() => native.update(way, states, [0], ['x' as unknown as Uint8Array], 1, 1, left)).toThrow(/no bytes/)
  expect(() => native.update(way, states, [0], [bytes], 1, 1, new Uint32Array(0))).toThrow(/too much/)
  expect(() => native.update(way, states, [0], [bytes], 1, 2, left)).toThrow(/too much/)
  expect(() => native.update(15, states, [0], [bytes], 1, 1, left)).toThrow(/no such way/)
  expect(() => native.finish(way, states, 0, new Uint8Array(31))).toThrow(/no room/)
})
