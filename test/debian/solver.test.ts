import { describe, expect, it } from 'vitest'
import { PackageRecord, RECORD_FIELDS } from '../../src/debian/package-record.ts'
import { solve } from '../../src/debian/solver.ts'
import { parseStatus } from '../../src/debian/status.ts'
import { indexOfLines, makeUniverse } from '../../src/debian/universe.ts'
import { BuildError } from '../../src/core/errors.ts'

/** Packages as lines of `name version | Field: value | ...`; `1` is the version unless given. */
function lines(...packages: readonly string[]): string[] {
  return packages.map((text) => {
    const [head = '', ...rest] = text.split(';').map((part) => part.trim())
    const [name = '', version = '1'] = head.split(' ')
    const fields = new Map(
      rest.map((field) => [
        field.slice(0, field.indexOf(':')).toLowerCase(),
        field.slice(field.indexOf(':') + 1).trim(),
      ]),
    )
    const all = new Map<string, string>([['package', name], ['version', version], ['architecture', 'amd64'], ...fields])
    return RECORD_FIELDS.map((field) => all.get(field) ?? '').join('\t')
  })
}

interface Options {
  readonly installed?: readonly string[]
  readonly pins?: Readonly<Record<string, string>>
}

function solved(packages: readonly string[], archive: readonly string[], options: Options = {}): string[] {
  const index = indexOfLines('http://a', lines(...archive))
  const universe = makeUniverse([index]).pinned(new Map(Object.entries(options.pins ?? {})))
  const installed = lines(...(options.installed ?? [])).map((line) => new PackageRecord(line, '', 0))
  return solve({ packages, universe, installed, architecture: 'amd64' })
    .map(({ record }) => `${record.name} ${record.version}`)
    .sort()
}

function refusal(packages: readonly string[], archive: readonly string[], options: Options = {}): BuildError {
  try {
    solved(packages, archive, options)
  } catch (error) {
    if (error instanceof BuildError) return error
    throw error
  }
  throw new Error('A solution was found')
}

interface Case {
  readonly archive: readonly string[]
  readonly installed?: readonly string[]
  readonly pins?: Readonly<Record<string, string>>
  readonly ask: readonly string[]
  readonly get: readonly string[]
}

const CASES: Record<string, Case> = {
  'follows Depends and Pre-Depends, not Recommends': {
    archive: ['a; Depends: b; Pre-Depends: c; Recommends: d', 'b', 'c', 'd'],
    ask: ['a'],
    get: ['a 1', 'b 1', 'c 1'],
  },
  'takes the first alternative': { archive: ['a; Depends: b | c', 'b', 'c'], ask: ['a'], get: ['a 1', 'b 1'] },
  'takes the alternative that is asked for as well': {
    archive: ['a; Depends: b | c', 'b', 'c'],
    ask: ['a', 'c'],
    get: ['a 1', 'c 1'],
  },
  'takes the alternative that the base has': {
    archive: ['a; Depends: b | c', 'b', 'c'],
    installed: ['c'],
    ask: ['a'],
    get: ['a 1'],
  },
  'passes over an alternative whose version is too old': {
    archive: ['a; Depends: b (>= 2) | c', 'b', 'c'],
    ask: ['a'],
    get: ['a 1', 'c 1'],
  },
  'goes back to another alternative on a conflict': {
    archive: ['a; Depends: b | c, d', 'b; Conflicts: d', 'c', 'd'],
    ask: ['a'],
    get: ['a 1', 'c 1', 'd 1'],
  },
  'goes back over a choice that has nothing to do with the conflict': {
    archive: ['a; Depends: b | c, x | y, d', 'b; Depends: e', 'c', 'd; Conflicts: e', 'e', 'x', 'y'],
    ask: ['a'],
    get: ['a 1', 'c 1', 'd 1', 'x 1'],
  },
  'takes a provider of a virtual package': {
    archive: ['a; Depends: virtual', 'z; Provides: virtual'],
    ask: ['a'],
    get: ['a 1', 'z 1'],
  },
  'prefers the provider of higher priority': {
    archive: ['a; Depends: v', 'b; Provides: v; Priority: optional', 'c; Provides: v; Priority: important'],
    ask: ['a'],
    get: ['a 1', 'c 1'],
  },
  'takes only a versioned Provides for a versioned dependency': {
    archive: ['a; Depends: v (>= 2)', 'b; Provides: v', 'c; Provides: v (= 1)', 'd; Provides: v (= 3)'],
    ask: ['a'],
    get: ['a 1', 'd 1'],
  },
  'takes the newest version': { archive: ['a 1', 'a 2', 'a 1.5'], ask: ['a'], get: ['a 2'] },
  'takes the pinned version': { archive: ['a 1', 'a 2'], pins: { a: '1' }, ask: ['a'], get: ['a 1'] },
  'keeps what the base has although the archive has a newer one': {
    archive: ['a; Depends: b', 'b 2'],
    installed: ['b 1'],
    ask: ['a'],
    get: ['a 1'],
  },
  'upgrades what the base has when it is too old': {
    archive: ['a; Depends: b (>= 2)', 'b 2'],
    installed: ['b 1'],
    ask: ['a'],
    get: ['a 1', 'b 2'],
  },
  'upgrades what depends on exactly the version that goes': {
    archive: ['a; Depends: libc (>= 2)', 'libc 2', 'libc-bin 2; Depends: libc (= 2)'],
    installed: ['libc 1', 'libc-bin 1; Depends: libc (= 1)'],
    ask: ['a'],
    get: ['a 1', 'libc 2', 'libc-bin 2'],
  },
  'upgrades what it breaks': {
    archive: ['a; Breaks: b (<< 2)', 'b 2'],
    installed: ['b 1'],
    ask: ['a'],
    get: ['a 1', 'b 2'],
  },
  'lets a package stand beside one that conflicts with its like of another architecture': {
    archive: ['a; Depends: x32, i386', 'x32; Conflicts: i386:x32, p:x32', 'i386; Provides: p'],
    ask: ['a'],
    get: ['a 1', 'i386 1', 'x32 1'],
  },
  'goes back on a conflict that names the own architecture': {
    archive: ['a; Depends: b | c, d', 'b; Conflicts: d:amd64', 'c', 'd'],
    ask: ['a'],
    get: ['a 1', 'c 1', 'd 1'],
  },
  'lets a package provide and conflict with the same name': {
    archive: ['mta1; Provides: mta; Conflicts: mta', 'a; Depends: mta'],
    ask: ['a'],
    get: ['a 1', 'mta1 1'],
  },
  'takes :any only where the package allows it': {
    archive: ['a; Depends: p:any', 'p; Multi-Arch: allowed'],
    ask: ['a'],
    get: ['a 1', 'p 1'],
  },
  'follows circles': { archive: ['a; Depends: b', 'b; Depends: a'], ask: ['a'], get: ['a 1', 'b 1'] },
  'installs nothing twice': {
    archive: ['a; Depends: c', 'b; Depends: c', 'c'],
    ask: ['a', 'b'],
    get: ['a 1', 'b 1', 'c 1'],
  },
  'needs nothing for what the base has': { archive: ['a 2'], installed: ['a 2'], ask: ['a'], get: [] },
  'brings what is asked for by name up to date': { archive: ['a 2'], installed: ['a 1'], ask: ['a'], get: ['a 2'] },
  'takes no older version than the base has': { archive: ['a 1'], installed: ['a 2'], ask: ['a'], get: [] },
  'leaves what the base has and nobody asked for': {
    archive: ['a; Depends: b', 'b 2'],
    installed: ['b 1'],
    ask: ['a'],
    get: ['a 1'],
  },
  'brings packages of one source along': {
    archive: ['xz-utils 2; Source: xz; Depends: liblzma', 'liblzma 2; Source: xz', 'other 2; Source: xz (3)'],
    installed: ['liblzma 1; Source: xz', 'other 1; Source: xz'],
    ask: ['xz-utils'],
    get: ['liblzma 2', 'xz-utils 2'],
  },
  'leaves packages of one source where a newer one would be in the way': {
    archive: ['xz-utils 2; Source: xz', 'liblzma 2; Source: xz; Conflicts: c'],
    installed: ['liblzma 1; Source: xz', 'c'],
    ask: ['xz-utils'],
    get: ['xz-utils 2'],
  },
  'takes the only package that provides a name that is asked for': {
    archive: ['b; Provides: v'],
    ask: ['v'],
    get: ['b 1'],
  },
}

describe('solve()', () => {
  for (const [name, { archive, ask, get, ...options }] of Object.entries(CASES)) {
    it(name, () => {
      expect(solved(ask, archive, options)).toEqual(get)
    })
  }

  it('gives the same for any order of the archive', () => {
    const archive = ['a; Depends: v', 'b; Provides: v', 'c; Provides: v', 'd; Provides: v']
    expect(solved(['a'], archive.toReversed())).toEqual(solved(['a'], archive))
  })

  it('says which dependency cannot be met, and who has it', () => {
    const error = refusal(['a'], ['a; Depends: b', 'b; Depends: c (>= 2) | d', 'c 1'])
    expect(error.code).toBe('RESOLVE_CONFLICT')
    expect(error.message).toContain('a was asked for and needs b (1)')
    expect(error.message).toContain('b needs `c (>= 2) | d`, but the archive has c (1) and the archive has no `d`')
  })

  it('says which packages exclude each other, and why each is there', () => {
    const error = refusal(['a', 'b'], ['a; Depends: x', 'b; Depends: y', 'x; Conflicts: y', 'y'])
    expect(error.message).toContain('a was asked for and needs x (1)')
    expect(error.message).toContain('b was asked for and needs y (1)')
    expect(error.message).toContain('x conflicts with `y`')
  })

  it('does not remove what the base has', () => {
    const error = refusal(['a'], ['a; Conflicts: b', 'b 1'], { installed: ['b 1'] })
    expect(error.message).toContain('b (1) is in the base')
  })

  it('asks which package is meant by a virtual name', () => {
    const error = refusal(['v'], ['b; Provides: v', 'c; Provides: v'])
    expect(error.code).toBe('PACKAGE_NOT_FOUND')
    expect(error.hint).toBe('Name one of them: b, c.')
  })

  it('finds a way through many choices', () => {
    // Each c<i> of the first alternatives conflicts with `last`; the search must change all of them.
    const count = 40
    const choices = Array.from({ length: count }, (_, index) => [`c${index}; Conflicts: last`, `e${index}`]).flat()
    const depends = Array.from({ length: count }, (_, index) => `c${index} | e${index}`).join(', ')
    const found = solved(['a'], [`a; Depends: ${depends}, last`, 'last', ...choices])
    expect(found).toHaveLength(count + 2)
    expect(found).toContain('e0 1')
  })
})

describe('parseStatus()', () => {
  it('leaves out what is not installed', () => {
    const stanza = (name: string, status: string): string =>
      `Package: ${name}\nVersion: 1\nArchitecture: all\nStatus: ${status}\n`
    const text = [
      stanza('a', 'install ok installed'),
      stanza('b', 'deinstall ok config-files'),
      stanza('c', 'install ok half-configured'),
      stanza('d', 'install ok triggers-pending'),
    ].join('\n')
    expect(parseStatus(text).map(({ record }) => record.name)).toEqual(['a', 'd'])
  })

  it('reads entries of distroless images, which have no status', () => {
    expect(parseStatus('Package: a\nVersion: 1\nArchitecture: amd64\n').map(({ record }) => record.version)).toEqual([
      '1',
    ])
  })
})
