import { expect, test } from 'vitest'
import { Health } from '../../src/route/health.ts'

const ILL = { kind: 'ill', reason: '/health-check says STARTING' } as const
const LATE = { kind: 'late', reason: 'late' } as const
const WELL = { kind: 'well' } as const

function watched(): { readonly health: Health; readonly told: (string | undefined)[] } {
  const told: (string | undefined)[] = []
  const health: Health = new Health(() => void told.push(health.reason))
  return { health, told }
}

test('a check takes a server out, and another one back; each is told once', () => {
  const { health, told } = watched()
  for (const verdict of [WELL, ILL, ILL]) health.noteCheck(verdict)
  expect(health.isOut(0)).toBe(true)
  for (const verdict of [WELL, WELL]) health.noteCheck(verdict)
  expect(health.isOut(0)).toBe(false)
  expect(told).toEqual([ILL.reason, undefined])
  expect(health.checks).toEqual({ passed: 3, failed: 2 })
})

test('one check that is late changes nothing, two in a row take a server out', () => {
  const { health, told } = watched()
  for (const verdict of [LATE, WELL, LATE]) health.noteCheck(verdict)
  expect(told).toEqual([])
  health.noteCheck(LATE)
  expect(told).toEqual(['late'])
  // It is ill already: being late once does not make it well.
  health.noteCheck(ILL)
  health.noteCheck(LATE)
  expect(health.reason).toBe(ILL.reason)
})

test('one request that cannot be sent takes a server out, for longer each time, up to 30 s', () => {
  const { health, told } = watched()
  let now = 5000
  for (const pause of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    // Many that were under way at once are no more than one.
    for (let turn = 0; turn < 10; turn++) health.noteUnreached(now, 'ECONNREFUSED')
    expect([health.isOut(now + pause - 1), health.isOut(now + pause)]).toEqual([true, false])
    now += pause
  }
  health.noteUnreached(now, 'ECONNREFUSED')
  health.noteAnswer()
  expect(health.isOut(now)).toBe(false)
  expect(told).toEqual(['ECONNREFUSED', undefined])
  health.noteUnreached(now, 'ECONNREFUSED')
  expect(health.isOut(now + 1000)).toBe(false)
})

test('a check that passes ends what requests said, and an answer says nothing against a check', () => {
  const { health } = watched()
  health.noteUnreached(0, 'ECONNREFUSED')
  health.noteCheck(WELL)
  expect(health.isOut(0)).toBe(false)
  health.noteCheck(ILL)
  health.noteAnswer()
  expect(health.isOut(0)).toBe(true)
  health.forgetChecks()
  expect(health.isOut(0)).toBe(false)
})
