import { describe, expect, test } from 'vitest'
import { countProcessors, countThreads } from '../../src/core/processors.ts'

const MIB = 2 ** 20

describe('countProcessors()', () => {
  test.each([
    ['those that there are', 64, undefined, 64],
    ['a share of them, whole ones at least', 64, 2, 2],
    ['a part of one more is worth a thread', 64, 1.5, 2],
    ['less than one is one', 64, 0.25, 1],
    ['a share of more than there are', 2, 8, 2],
  ])('%s', (_, available, processors, count) => {
    expect(countProcessors({ env: {}, available, limits: { processors } })).toBe(count)
  })

  test('the variable goes before what the machine says', () => {
    const facts = { available: 2, limits: { processors: 1 } }
    expect(countProcessors({ ...facts, env: { LAYERWRIGHT_PROCESSORS: '16' } })).toBe(16)
    expect(countProcessors({ ...facts, env: { LAYERWRIGHT_PROCESSORS: '' } })).toBe(1)
  })

  test.each(['0', '-1', '1.5', 'all', '99999', ' 2'])('refuses %j', (said) => {
    const facts = { available: 2, limits: {}, env: { LAYERWRIGHT_PROCESSORS: said } }
    expect(() => countProcessors(facts)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})

test('countThreads() is bounded by processors, by what is allowed, and by memory', () => {
  expect([1, 2, 3, 4, 8, 64].map((count) => countThreads(count, {}, 4))).toEqual([1, 2, 3, 4, 4, 4])
  const within = (mib: number): number => countThreads(64, { memoryBytes: mib * MIB }, 4)
  expect([64, 160, 200, 230, 260, 288, 4096].map(within)).toEqual([1, 1, 1, 2, 3, 4, 4])
})
