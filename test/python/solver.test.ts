import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { explain } from '../../src/python/solver/explain.ts'
import { ROOT } from '../../src/python/solver/incompatibility.ts'
import { solve, type Dependency, type Solution, type SolverSource } from '../../src/python/solver/pubgrub.ts'
import { VersionSet } from '../../src/python/solver/version-set.ts'

/** For each package and version: the versions it allows of others. Packages are letters, versions 0 to 2. */
type World = Readonly<Record<string, readonly Readonly<Record<string, readonly number[]>>[]>>

const NAMES = ['a', 'b', 'c', 'd', 'e']
const VERSIONS = 3

const allowed = fc.subarray([0, 1, 2])
const requirements = fc.dictionary(fc.constantFrom(...NAMES), allowed, { maxKeys: 3 })
const world: fc.Arbitrary<World> = fc.record(
  Object.fromEntries(NAMES.map((name) => [name, fc.array(requirements, { minLength: VERSIONS, maxLength: VERSIONS })])),
)

describe('solve()', () => {
  it('finds a solution exactly where trying everything finds one, and it is one', async () => {
    await fc.assert(
      fc.asyncProperty(world, requirements, async (packages, roots) => {
        const solution = await solve(sourceOf(packages, roots))
        expect(solution.kind === 'solved').toBe(hasSolution(packages, roots))
        if (solution.kind === 'solved') expect(isSolution(packages, roots, solution.versions)).toBe(true)
        else expect(explain(solution.proof, words(packages)).join(' ')).toMatch(/unsatisfiable|[Yy]ou require/)
      }),
      { numRuns: 150 },
    )
  })

  it('gives the same answer every time', async () => {
    await fc.assert(
      fc.asyncProperty(world, requirements, async (packages, roots) => {
        const [first, second] = [await solve(sourceOf(packages, roots)), await solve(sourceOf(packages, roots))]
        expect(describeSolution(second)).toEqual(describeSolution(first))
      }),
      { numRuns: 50 },
    )
  })

  it('keeps the newest version of every package that nothing limits', async () => {
    const packages: World = {
      a: [{}, {}, { b: [0, 1, 2] }],
      b: [{}, {}, {}],
      c: [{}, {}, {}],
      d: [{}, {}, {}],
      e: [{}, {}, {}],
    }
    const solution = await solve(sourceOf(packages, { a: [0, 1, 2] }))
    expect(describeSolution(solution)).toEqual([
      ['a', 2],
      ['b', 2],
    ])
  })

  it('stops when told to', async () => {
    const packages: World = Object.fromEntries(NAMES.map((name) => [name, [{}, {}, {}]]))
    await expect(solve(sourceOf(packages, { a: [0] }), AbortSignal.abort(new Error('enough')))).rejects.toThrow(
      'enough',
    )
  })
})

describe('VersionSet', () => {
  const set = fc
    .tuple(fc.integer({ min: 0, max: 70 }), fc.array(fc.integer({ min: 0, max: 70 })))
    .map(([count, members]) => ({
      count,
      set: VersionSet.where(count, (index) => members.includes(index)),
    }))

  it('is a Boolean algebra over versions and absence', () => {
    fc.assert(
      fc.property(set, fc.array(fc.integer({ min: 0, max: 70 })), ({ count, set: a }, members) => {
        const b = VersionSet.where(count, (index) => members.includes(index))
        expect(a.negate().negate().equals(a)).toBe(true)
        expect(a.intersect(b).negate().equals(a.negate().union(b.negate()))).toBe(true)
        expect(a.isSubsetOf(b)).toBe(a.intersect(b).equals(a))
        expect(a.isDisjointFrom(b)).toBe(a.intersect(b).isEmpty)
        expect(a.union(a.negate()).isAll).toBe(true)
        expect([a.allowsAbsent, a.negate().allowsAbsent]).toEqual([false, true])
        expect(a.key === b.key).toBe(a.equals(b))
      }),
    )
  })
})

function sourceOf(packages: World, roots: Readonly<Record<string, readonly number[]>>): SolverSource {
  return {
    baseOf: (key) => key,
    choose: async (_, set) => ({ kind: 'version', index: Math.max(...set.indices()) }),
    dependencies: async (key, index) => {
      const required = key === ROOT ? roots : (packages[key]?.[index] ?? {})
      // A requirement of a package on itself is the source's to judge.
      if (required[key]?.includes(index) === false)
        return { kind: 'unusable', reason: 'requires another version of itself' }
      const others = Object.entries(required).filter(([name]) => name !== key)
      return { kind: 'known', dependencies: others.map(([name, versions]) => dependency(name, versions)) }
    },
  }
}

function dependency(name: string, versions: readonly number[]): Dependency {
  const set = VersionSet.where(VERSIONS, (index) => versions.includes(index))
  return {
    key: name,
    set,
    text: `${name} in ${versions.join(',')}`,
    unmet: set.isEmpty ? { kind: 'no-version', available: '0 to 2' } : undefined,
  }
}

function words(packages: World): Parameters<typeof explain>[1] {
  return { versionsOf: (key) => (packages[key] ?? []).map((_, index) => String(index)), labelOf: () => undefined }
}

function isSolution(
  packages: World,
  roots: Readonly<Record<string, readonly number[]>>,
  versions: ReadonlyMap<string, number>,
): boolean {
  const meets = (required: Readonly<Record<string, readonly number[]>>): boolean =>
    Object.entries(required).every(([name, set]) => set.includes(versions.get(name) ?? -1))
  return meets(roots) && [...versions].every(([name, index]) => name === ROOT || meets(packages[name]?.[index] ?? {}))
}

/** Every choice of a version or nothing for each package. */
function hasSolution(packages: World, roots: Readonly<Record<string, readonly number[]>>): boolean {
  const choices = (VERSIONS + 1) ** NAMES.length
  for (let choice = 0; choice < choices; choice++) {
    const versions = new Map<string, number>()
    let rest = choice
    for (const name of NAMES) {
      const version = rest % (VERSIONS + 1)
      if (version < VERSIONS) versions.set(name, version)
      rest = Math.floor(rest / (VERSIONS + 1))
    }
    if (isSolution(packages, roots, versions)) return true
  }
  return false
}

function describeSolution(solution: Solution): unknown {
  if (solution.kind !== 'solved') return 'unsolvable'
  return [...solution.versions].filter(([key]) => key !== ROOT).sort(([a], [b]) => (a < b ? -1 : 1))
}
