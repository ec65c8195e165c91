import { expect, test } from 'vitest'
import { comparePaths } from '../../layers/paths.ts'

/** Parts of paths that differ in what sorts before and after a slash. */
const PARTS = ['a', 'a-b', 'a.b', 'ab', 'a b', 'A', 'é', '日本', '\u{1F600}', '\uFFFD', '0', '!']
const paths = [
  ...PARTS,
  ...PARTS.flatMap((part) => PARTS.map((other) => `${part}/${other}`)),
  'a/b/c',
  'a/b/c/d',
  'a/b-c',
]

test('comparePaths() compares part by part, by code unit', () => {
  const byParts = (a: string, b: string): number => {
    const [left, right] = [a.split('/'), b.split('/')]
    const at = left.findIndex((part, n) => part !== right[n])
    if (at === -1) return left.length - right.length
    const [x, y] = [left[at] ?? '', right[at]]
    return y === undefined ? 1 : x < y ? -1 : 1
  }
  for (const a of paths) {
    for (const b of paths) expect([a, b, Math.sign(comparePaths(a, b))]).toEqual([a, b, Math.sign(byParts(a, b))])
  }
})
