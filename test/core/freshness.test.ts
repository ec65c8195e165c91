import { expect, test } from 'vitest'
import { ANSWERS_FRESH_MS, isStillValid, isYoung } from '../../src/core/freshness.ts'

const NOW = Date.UTC(2026, 0, 1)

test.each([
  ['just made', NOW, true],
  ['a while ago', NOW - 59_999, true],
  ['too long ago', NOW - 60_000, false],
  ['a moment ahead, after the clock was set back', NOW + 1, false],
  ['years ahead', Date.UTC(2038, 0, 1), false],
])('isYoung() of what was made %s', (_, madeAt, expected) => {
  expect(isYoung(madeAt, 60_000, NOW)).toBe(expected)
})

test.each([
  ['for ever', null, true],
  ['as long as can be', NOW + ANSWERS_FRESH_MS, true],
  ['no longer', NOW, false],
  ['never', 0, false],
  ['longer than anything is', NOW + ANSWERS_FRESH_MS + 1, false],
])('isStillValid() of what is good %s', (_, validUntil, expected) => {
  expect(isStillValid(validUntil, NOW)).toBe(expected)
})
