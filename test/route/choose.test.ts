import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { drawOrder, keyOrder, type Weighted } from '../../src/route/choose.ts'
import { chiSquare, seededRandom } from '../support/route-backends.ts'

const COUNT = 10_000
/** 0.1 % of fair draws are beyond it, with 2 degrees of freedom; the draws here are always the same ones. */
const CRITICAL = 13.82

const three: readonly Weighted[] = [
  { name: 'stable', weight: 70 },
  { name: 'canary', weight: 25 },
  { name: 'next', weight: 5 },
]

function count(names: readonly (string | undefined)[]): readonly number[] {
  return three.map(({ name }) => names.filter((one) => one === name).length)
}

describe('drawOrder()', () => {
  test('gives each version its share of 10,000 requests', () => {
    const random = seededRandom(1)
    const drawn = Array.from({ length: COUNT }, () => drawOrder(three, random)[0]?.name)
    expect(chiSquare(count(drawn), [70, 25, 5])).toBeLessThan(CRITICAL)
  })

  test('weights are relative, and 0 is never drawn', () => {
    const random = seededRandom(2)
    const versions = [
      { name: 'a', weight: 3 },
      { name: 'b', weight: 1 },
      { name: 'off', weight: 0 },
    ]
    const drawn = Array.from({ length: COUNT }, () => drawOrder(versions, random).map(({ name }) => name))
    const first = ['a', 'b'].map((name) => drawn.filter(([one]) => one === name).length)
    expect(chiSquare(first, [3, 1])).toBeLessThan(10.83)
    expect(drawn.every((names) => names.length === 2)).toBe(true)
  })
})

describe('keyOrder()', () => {
  const keys = Array.from({ length: COUNT }, (_, at) => `user-${at}`)

  test('gives each version its share of 10,000 keys, always the same ones', () => {
    const chosen = keys.map((key) => keyOrder(three, key)[0]?.name)
    expect(chiSquare(count(chosen), [70, 25, 5])).toBeLessThan(CRITICAL)
    expect(keys.map((key) => keyOrder(three.toReversed(), key)[0]?.name)).toEqual(chosen)
  })

  test('moves only keys of shares that shrank to shares that grew, and no more than the difference', () => {
    const before = keys.map((key) => keyOrder(three, key)[0]?.name)
    const wider = three.map((one) => (one.name === 'canary' ? { ...one, weight: 50 } : one))
    const after = keys.map((key) => keyOrder(wider, key)[0]?.name)
    const moved = keys.flatMap((_, at) => (before[at] === after[at] ? [] : [`${before[at]} to ${after[at]}`]))
    expect(new Set(moved)).toEqual(new Set(['stable to canary', 'next to canary']))
    // From 25 of 100 to 50 of 125: 15 % of all.
    expect(moved.length / COUNT).toBeCloseTo(0.15, 1)
  })

  test('a version that grows takes keys and gives none, whatever the weights', () => {
    const weights = fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 2, maxLength: 5 })
    fc.assert(
      fc.property(weights, fc.string(), fc.double({ min: 1, max: 10, noNaN: true }), (shares, key, factor) => {
        const versions = shares.map((weight, at) => ({ name: `v${at}`, weight }))
        const grown = versions.map((one, at) => (at === 0 ? { ...one, weight: one.weight * factor } : one))
        const [old, now] = [keyOrder(versions, key)[0]?.name, keyOrder(grown, key)[0]?.name]
        return old === now || now === 'v0'
      }),
    )
  })
})
