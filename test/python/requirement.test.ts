import { describe, expect, it, test } from 'vitest'
import { formatMarker } from '../../src/python/marker.ts'
import { formatRequirement, parseRequirement } from '../../src/python/requirement.ts'
import { formatSpecifiers } from '../../src/python/specifier.ts'
import { differences, readCases } from './cases.ts'

interface RequirementCases {
  readonly requirement: readonly { readonly in: string; readonly out: { readonly valid: boolean } }[]
}

const cases = readCases('packaging-requirements') as RequirementCases

describe('parseRequirement()', () => {
  it('answers as pypa/packaging for every requirement of the table', () => {
    expect(cases.requirement.length).toBe(5323)
    expect(
      differences(
        cases.requirement,
        (c) => c.out,
        (c) => describeRequirement(c.in),
      ),
    ).toEqual([])
  })

  it.each([
    ['name[bar baz]', 'Expected a closing bracket after the extras at column 10, found `baz]`'],
    ['black (>=20.*)', 'Expected a version without `.*`'],
    ['name >= 1.0 <= 2.0', 'Expected a version specifier, a semicolon or the end at column 13'],
  ])('says where %s is wrong', (text, message) => {
    expect(() => parseRequirement(text)).toThrow(message)
  })
})

test.each([
  ['six=1.16', 'six==1.16'],
  ['six =>1.16; python_version > "3"', 'six >=1.16; python_version > "3"'],
  ['six=<2', 'six<=2'],
  ['six<>2', 'six!=2'],
])('parseRequirement() knows what was meant by %s', (text, meant) => {
  expect(() => parseRequirement(text)).toThrow(
    expect.objectContaining({ code: 'REQUIREMENT_INVALID', hint: `Did you mean \`${meant}\`?` }) as Error,
  )
})

describe('formatRequirement()', () => {
  it('gives text that parses into the same text', () => {
    for (const { in: text, out } of cases.requirement) {
      if (!out.valid) continue
      const printed = formatRequirement(parseRequirement(text))
      expect(formatRequirement(parseRequirement(printed))).toBe(printed)
    }
  })
})

function describeRequirement(text: string): unknown {
  try {
    const { displayName, extras, specifiers, url, marker } = parseRequirement(text)
    return {
      valid: true,
      name: displayName,
      extras: [...extras].sort(),
      specifier: formatSpecifiers(specifiers),
      url: url ?? null,
      marker: marker === undefined ? null : formatMarker(marker),
    }
  } catch {
    return { valid: false }
  }
}
