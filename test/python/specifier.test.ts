import { describe, expect, it } from 'vitest'
import {
  formatSpecifier,
  formatSpecifiers,
  matchesSpecifier,
  matchesSpecifiers,
  parseSpecifier,
  parseSpecifiers,
  type SpecifierSet,
} from '../../src/python/specifier.ts'
import { isPreRelease, parseVersion, tryParseVersion, type Version } from '../../src/python/version.ts'
import { differences, readCases } from './cases.ts'

interface Parse {
  readonly in: string
  readonly out: { readonly valid: boolean; readonly str?: string }
}
interface Question {
  readonly spec: string
  readonly prereleases: boolean | null
  readonly spec_prereleases: boolean | null
  readonly installed?: boolean | null
}
interface Contains {
  readonly in: Question & { readonly version: string }
  readonly out: boolean
}
interface Filter {
  readonly in: Question & { readonly versions: readonly string[] }
  readonly out: readonly string[]
}
interface SpecifierCases {
  readonly specifier_parse: readonly Parse[]
  readonly specifierset_parse: readonly Parse[]
  readonly specifier_contains: readonly Contains[]
  readonly specifierset_contains: readonly Contains[]
  readonly specifier_filter: readonly Filter[]
  readonly specifierset_filter: readonly Filter[]
}

const cases = readCases('packaging-specifiers') as SpecifierCases

describe('parseSpecifier()', () => {
  it('answers as pypa/packaging for every specifier of the table', () => {
    expect(cases.specifier_parse.length).toBe(1060)
    expect(
      differences(
        cases.specifier_parse,
        (c) => c.out,
        (c) => tryFormat(() => formatSpecifier(parseSpecifier(c.in))),
      ),
    ).toEqual([])
  })

  it('shows what a specifier looks like', () => {
    expect(() => parseSpecifier('>=1.*')).toThrow('Not a version specifier: `>=1.*`')
  })
})

describe('parseSpecifiers()', () => {
  it('answers as pypa/packaging for every set of the table', () => {
    expect(cases.specifierset_parse.length).toBe(421)
    expect(
      differences(
        cases.specifierset_parse,
        (c) => c.out,
        (c) => tryFormat(() => formatSpecifiers(parseSpecifiers(c.in))),
      ),
    ).toEqual([])
  })
})

describe('matchesSpecifier(), below the filter of pypa/packaging', () => {
  it.each([
    ['specifier_contains', 470],
    ['specifierset_contains', 19_484],
  ] as const)('contains: answers as pypa/packaging for every case of %s', (table, count) => {
    expect(cases[table].length).toBe(count)
    const found = differences(
      cases[table],
      (c) => c.out,
      ({ in: { version, ...question } }) => filter({ ...question, versions: [version] }).length === 1,
    )
    expect(found).toEqual([])
  })

  it.each([
    ['specifier_filter', 64],
    ['specifierset_filter', 625],
  ] as const)('answers as pypa/packaging for every case of %s', (table, count) => {
    expect(cases[table].length).toBe(count)
    expect(
      differences(
        cases[table],
        (c) => c.out,
        (c) => filter(c.in),
      ),
    ).toEqual([])
  })
})

describe('matchesSpecifiers()', () => {
  it.each([
    ['==1.2', '1.2+cu128', true],
    ['==1.2+cu128', '1.2', false],
    ['<=1.2', '1.2+cu128', true],
    ['>1.2', '1.2.post1', false],
    ['<1.2.post1', '1.2a1', true],
    ['~=2.2.0', '2.3', false],
    ['!=1.*', '1.9', false],
    ['===1.0', '1.0.0', false],
  ])('%s %s: %s', (specifiers, version, expected) => {
    expect(matchesSpecifiers(parseSpecifiers(specifiers), parseVersion(version), version)).toBe(expected)
  })
})

function tryFormat(format: () => string): unknown {
  try {
    return { valid: true, str: format() }
  } catch {
    return { valid: false }
  }
}

/** pypa/packaging asks three switches for one opinion; the call's own wins over the set's. */
function filter(question: Filter['in']): readonly string[] {
  const set = parseSpecifiers(question.spec)
  const { installed, prereleases, spec_prereleases: ofSet } = question
  if (installed === true) return filterVersions(set, question.versions, true)
  const policy = prereleases ?? ofSet ?? undefined
  return policy === undefined ? filterVersions(set, question.versions) : filterVersions(set, question.versions, policy)
}

/** What pypa/packaging calls the set's own opinion: true when a specifier names a pre-release, else undefined. */
function namesPreRelease(set: SpecifierSet): boolean {
  return set.some(
    ({ operator, isPrefix, version, text }) =>
      operator !== '!=' &&
      !isPrefix &&
      isPreReleaseOrUndefined(version ?? (operator === '===' ? tryParseVersion(text) : undefined)),
  )
}

/** How pypa/packaging's filter treats pre-releases: all, none, or (undefined) only when nothing else fits. */
type PreReleasePolicy = boolean | undefined

/**
 * The versions that fit a set, in the given order.
 *
 * Without a policy and unless the set names a pre-release itself, pre-releases come out only when no final release fits.
 * Strings that are no version fit only an empty set or `===`.
 */
function filterVersions(
  set: SpecifierSet,
  versions: readonly string[],
  policy: PreReleasePolicy = namesPreRelease(set) ? true : undefined,
): readonly string[] {
  const fitting = versions
    .map((text) => ({ text, version: tryParseVersion(text) }))
    .filter(({ text, version }) => set.every((specifier) => matchesSpecifier(specifier, version, text)))
  const finals = fitting.filter(({ version }) => !isPreReleaseOrUndefined(version))
  const hasFinal = finals.some(({ version }) => version !== undefined)
  const chosen = policy === true || (policy === undefined && !hasFinal) ? fitting : finals
  return chosen.map(({ text }) => text)
}

function isPreReleaseOrUndefined(version: Version | undefined): boolean {
  return version !== undefined && isPreRelease(version)
}
