import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { groupFiles } from '../../layers/group.ts'

const MB = 1_000_000
const small = (n: number, sizeBytes = 100_000) => ({ name: `package-${n}`, sizeBytes })
const names = (groups: readonly (readonly { name: string }[])[]) => groups.map((group) => group.map(({ name }) => name))

describe('groupFiles()', () => {
  test('gives large files layers of their own and puts small ones together', () => {
    const groups = groupFiles([
      small(1),
      { name: 'torch', sizeBytes: 888 * MB },
      small(2),
      { name: 'numpy', sizeBytes: 17 * MB },
    ])
    expect(names(groups)).toEqual([['numpy'], ['torch'], ['package-1', 'package-2']])
  })

  test('of nothing is nothing', () => {
    expect(groupFiles([])).toEqual([])
  })

  const files = fc.uniqueArray(
    fc.record({ name: fc.string({ minLength: 1, maxLength: 8 }), sizeBytes: fc.nat(12 * MB) }),
    { selector: ({ name }) => name, maxLength: 200 },
  )

  test('keeps every file once, whatever the order, within the budget', () => {
    fc.assert(
      fc.property(files, fc.integer({ min: 1, max: 20 }), (files, budget) => {
        const groups = groupFiles(files, { budget })
        expect(groups.length).toBeLessThanOrEqual(budget)
        expect(groups.flat().length).toBe(files.length)
        expect(new Set(groups.flat()).size).toBe(files.length)
        expect(names(groupFiles(files.toReversed(), { budget }))).toEqual(names(groups))
      }),
    )
  })

  test('fills no group beyond its size when the budget allows', () => {
    const groups = groupFiles(Array.from({ length: 300 }, (_, n) => small(n, MB)))
    for (const group of groups)
      expect(group.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBeLessThanOrEqual(32 * MB)
  })

  test('moves one group when one file changes', () => {
    const files = Array.from({ length: 200 }, (_, n) => small(n, MB))
    const before = new Set(names(groupFiles(files)).map(String))
    const after = groupFiles(files.filter(({ name }) => name !== 'package-7'))
    expect(names(after).filter((group) => !before.has(String(group)))).toHaveLength(1)
  })

  test('groups the smallest of the large ones when there are too many', () => {
    const files = Array.from({ length: 30 }, (_, n) => ({ name: `large-${n}`, sizeBytes: (10 + n) * MB }))
    const groups = groupFiles(files, { budget: 10 })
    expect(groups.length).toBeLessThanOrEqual(10)
    expect(groups.filter((group) => group.length === 1).flat()).toContainEqual({ name: 'large-29', sizeBytes: 39 * MB })
  })
})
