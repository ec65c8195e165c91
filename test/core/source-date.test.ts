import { expect, test } from 'vitest'
import { sourceDate } from '../../src/core/source-date.ts'

test.each([
  [undefined, undefined],
  ['', undefined],
  ['0', 0],
  ['1700000000', 1_700_000_000],
  ['8589934591', 8_589_934_591],
])('sourceDate() of %j is %j', (text, seconds) => {
  expect(sourceDate({ SOURCE_DATE_EPOCH: text })).toBe(seconds)
})

// 8589934592 is the first second that a tar header has no room for.
test.each(['-1', 'abc', '1e9', '1.5', ' 12', '8589934592', '99999999999999999999'])(
  'sourceDate() refuses %j, which it would be wrong to build without',
  (text) => {
    expect(() => sourceDate({ SOURCE_DATE_EPOCH: text })).toThrow(text)
  },
)
