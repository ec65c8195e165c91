import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  canonicalVersion,
  compareVersions,
  formatBase,
  formatPublic,
  formatVersion,
  isPreRelease,
  parseVersion,
  tryParseVersion,
} from '../../src/python/version.ts'
import { differences, readCases } from './cases.ts'

interface VersionCases {
  readonly version: readonly { readonly in: string; readonly out: Record<string, unknown> }[]
  readonly ordered: readonly string[]
}

const cases = readCases('packaging-version') as VersionCases

describe('parseVersion()', () => {
  it('answers as pypa/packaging for every version of the table', () => {
    expect(cases.version.length).toBe(1320)
    expect(
      differences(
        cases.version,
        (c) => c.out,
        (c) => describeVersion(c.in, c.out),
      ),
    ).toEqual([])
  })

  it('names the text that is no version', () => {
    expect(() => parseVersion('1.x')).toThrow('Not a version: `1.x`')
  })

  it('keeps every digit of long numbers', () => {
    expect(formatVersion(parseVersion('20231231235959999999.1'))).toBe('20231231235959999999.1')
    expect(compareVersions(parseVersion('20231231235959999999'), parseVersion('20231231235959999998'))).toBeGreaterThan(
      0,
    )
  })
})

describe('compareVersions()', () => {
  const ordered = cases.ordered.map(parseVersion)

  it('orders every pair of the table', () => {
    const wrong = ordered.flatMap((a, i) =>
      ordered.flatMap((b, j) => (Math.sign(compareVersions(a, b)) === Math.sign(i - j) ? [] : [[i, j]])),
    )
    expect(ordered.length).toBe(92)
    expect(wrong).toEqual([])
  })

  it('sees trailing zeros as nothing', () => {
    expect(compareVersions(parseVersion('1.0'), parseVersion('1'))).toBe(0)
    expect(canonicalVersion(parseVersion('1.0.0+abc'))).toBe('1+abc')
  })
})

describe('formatVersion()', () => {
  it('gives text that parses into an equal version', () => {
    fc.assert(
      fc.property(fc.constantFrom(...cases.version.map((c) => c.in)), (text) => {
        const version = tryParseVersion(text)
        if (version !== undefined) expect(parseVersion(formatVersion(version))).toEqual(version)
      }),
    )
  })
})

function describeVersion(text: string, out: Record<string, unknown>): unknown {
  const version = tryParseVersion(text)
  if (version === undefined) return { ...out, valid: false }
  const all: Record<string, unknown> = {
    valid: true,
    normalized: formatVersion(version),
    public: formatPublic(version),
    base: formatBase(version),
    epoch: Number(version.epoch),
    release: version.release.map(Number),
    pre: version.pre === undefined ? null : [version.pre[0], Number(version.pre[1])],
    post: version.post === undefined ? null : Number(version.post),
    dev: version.dev === undefined ? null : Number(version.dev),
    local: version.local?.join('.') ?? null,
    is_prerelease: isPreRelease(version),
    is_postrelease: version.post !== undefined,
    is_devrelease: version.dev !== undefined,
  }
  return Object.fromEntries(Object.keys(out).map((key) => [key, all[key]]))
}
