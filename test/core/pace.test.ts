import { expect, test } from 'vitest'
import { Pace } from '../../src/core/pace.ts'

/** A clock that goes forward by what is waited for, and by what happens between. */
function clocked(): { pace: Pace; wait: (ms: number) => Promise<void>; pass: (ms: number) => void } {
  let now = 0
  const pace = new Pace(() => now)
  const pass = (ms: number): void => void (now += ms)
  return { pace, pass, wait: (ms) => pace.wait(async () => pass(ms)) }
}

/** How many pieces in a row go another way. */
function pieces(pace: Pace): number {
  let count = 0
  while (pace.isSlow()) count++
  return count
}

test('a way that is never waited for is kept', async () => {
  const { pace, wait, pass } = clocked()
  for (let n = 0; n < 1000; n++) {
    pass(10)
    await wait(0)
    expect(pace.isSlow()).toBe(false)
  }
})

test('one that is waited for is left, for twice as long each time', async () => {
  const { pace, wait } = clocked()
  for (const pause of [32, 64, 128]) {
    await wait(40)
    expect(pieces(pace)).toBe(0)
    await wait(40)
    expect(pieces(pace)).toBe(pause)
  }
})

test('a wait now and then is no reason: processors are busy, too', async () => {
  const { pace, wait, pass } = clocked()
  for (let n = 0; n < 100; n++) {
    pass(1000)
    await wait(90)
    expect(pace.isSlow()).toBe(false)
  }
})

test('what was waited for before a pause counts no more after it', async () => {
  const { pace, wait, pass } = clocked()
  await wait(60)
  expect(pieces(pace)).toBe(32)
  pass(10)
  await wait(40)
  expect(pace.isSlow()).toBe(false)
})

test('what fails is thrown', async () => {
  const { pace } = clocked()
  await expect(pace.wait(() => Promise.reject(new Error('full')))).rejects.toThrow('full')
})
