import { expect, test } from 'vitest'
import { Pace } from '../../../src/core/net/pace.ts'

/** Time that passes only when all of those who sleep have been woken in order. */
class Clock {
  nowMs = 1_000_000
  readonly #sleepers: { readonly atMs: number; readonly wake: () => void }[] = []
  readonly waiting = {
    now: () => this.nowMs,
    random: () => 1,
    sleep: (ms: number) =>
      new Promise<void>((resolve) => this.#sleepers.push({ atMs: this.nowMs + ms, wake: resolve })),
  }

  async run(work: Promise<unknown>): Promise<void> {
    let isOver = false
    void work.finally(() => (isOver = true))
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      if (isOver) return
      this.#sleepers.sort((a, b) => a.atMs - b.atMs)
      const next = this.#sleepers.shift()
      if (next === undefined) throw new Error('Nobody sleeps, and the work does not end')
      this.nowMs = Math.max(this.nowMs, next.atMs)
      next.wake()
    }
  }
}

/** A server that takes so many requests a second, and so many at once. */
function limit(clock: Clock, perSecond: number, burst: number) {
  let left = burst
  let atMs = clock.nowMs
  return () => {
    left = Math.min(burst, left + ((clock.nowMs - atMs) * perSecond) / 1000)
    atMs = clock.nowMs
    if (left < 1) return false
    left--
    return true
  }
}

test('turn() keeps nobody waiting while nothing was refused', async () => {
  const clock = new Clock()
  const pace = new Pace(clock.waiting)
  await clock.run(Promise.all(Array.from({ length: 50 }, async () => pace.took(await pace.turn()))))
  expect(clock.nowMs).toBe(1_000_000)
  expect(pace.taken).toBe(50)
})

test('holdUntil() holds back those in line as well, and a shorter hold does not end a longer one', async () => {
  const clock = new Clock()
  const pace = new Pace(clock.waiting)
  pace.refused(await pace.turn())
  await pace.turn()
  const first = pace.turn()
  const second = pace.turn()
  pace.holdUntil(1_005_000)
  pace.holdUntil(1_001_000)
  const times: number[] = []
  await clock.run(Promise.all([first, second].map((turn) => turn.then(() => times.push(clock.nowMs)))))
  expect(times).toEqual([1_005_000, 1_005_100])
})

test('refused() counts those that went off together once', async () => {
  const clock = new Clock()
  const pace = new Pace(clock.waiting)
  const turns = await Promise.all([pace.turn(), pace.turn(), pace.turn(), pace.turn()])
  for (const turn of turns) pace.refused(turn)
  const times: number[] = []
  await clock.run(Promise.all([1, 2, 3].map(() => pace.turn().then(() => times.push(clock.nowMs - 1_000_000)))))
  expect(times).toEqual([0, 100, 200])
})

test.each([
  [1, 1],
  [2, 5],
  [10, 1],
  [50, 10],
])('8 callers find out a limit of %i a second after a burst of %i', async (perSecond, burst) => {
  const clock = new Clock()
  const pace = new Pace(clock.waiting)
  const takes = limit(clock, perSecond, burst)
  let refusals = 0
  const worst: number[] = []
  const call = async (): Promise<void> => {
    for (let count = 1; ; count++) {
      const turn = await pace.turn()
      if (takes()) {
        pace.took(turn)
        worst.push(count)
        return
      }
      refusals++
      pace.refused(turn)
      pace.holdUntil(clock.nowMs + 1000)
    }
  }
  const caller = async (): Promise<void> => {
    for (let count = 0; count < 25; count++) await call()
  }
  await clock.run(Promise.all(Array.from({ length: 8 }, caller)))
  expect(pace.taken).toBe(200)
  // Each caller is refused in the first burst; then few more are, and nobody for ever.
  expect(refusals).toBeLessThan(60)
  expect(Math.max(...worst)).toBeLessThan(8)
})
