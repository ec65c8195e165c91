import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareDebianVersions, isVersionInRelation, parseDebianVersion } from '../../src/debian/version.ts'

// Debian Policy 5.6.12 and the test table of dpkg's own lib/dpkg/t/t-version.c.
const ASCENDING: readonly (readonly string[])[] = [
  ['~~', '~~a', '~', '0', 'a'],
  ['1.0~beta1~svn1245', '1.0~beta1', '1.0', '1.0-1', '1.0-1.1', '1.0-2', '1.0-10'],
  ['0:9.9', '1:0.1', '2:0.0.1'],
  ['1.2.3~rc1-1', '1.2.3-1~bpo12+1', '1.2.3-1', '1.2.3-1+b1', '1.2.3-1+deb12u1'],
  ['1.2.3-1ubuntu1', '1.2.3-1+b1'],
  ['2.36-9', '2.36-9+deb12u4', '2.36-9+deb12u10', '2.36-10'],
  ['1.0a', '1.0+', '1.a', '1.b', '1.+'],
  ['5.2.15-2', '5.2.15-2+b7', '5.2.15-2+b13'],
]

const EQUAL: readonly (readonly [string, string])[] = [
  ['0:1.0', '1.0'],
  ['1.0-0', '1.0'],
  ['1.00', '1.0'],
  ['1.0-01', '1.0-1'],
  ['001.2', '1.2'],
]

describe('compareDebianVersions()', () => {
  for (const versions of ASCENDING) {
    it(`orders ${versions.join(' < ')}`, () => {
      for (const [index, version] of versions.entries()) {
        for (const later of versions.slice(index + 1)) {
          expect(compareDebianVersions(version, later), `${version} < ${later}`).toBeLessThan(0)
          expect(compareDebianVersions(later, version), `${later} > ${version}`).toBeGreaterThan(0)
        }
      }
    })
  }

  it('takes a missing epoch, a missing revision and leading zeros for zero', () => {
    for (const [a, b] of EQUAL) expect(compareDebianVersions(a, b), `${a} = ${b}`).toBe(0)
  })

  it('is a total order', () => {
    const version = fc.stringMatching(/^[0-9][a-c0-2.+~]{0,6}(-[a-c0-2.+~]{1,3})?$/)
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        expect(Math.sign(compareDebianVersions(a, b))).toBe(-Math.sign(compareDebianVersions(b, a)) + 0)
        const [low = a, middle = b, high = c] = [a, b, c].sort(compareDebianVersions)
        expect(compareDebianVersions(low, middle)).toBeLessThanOrEqual(0)
        expect(compareDebianVersions(low, high)).toBeLessThanOrEqual(0)
      }),
    )
  })
})

describe('parseDebianVersion()', () => {
  it('splits at the first colon and the last hyphen', () => {
    expect(parseDebianVersion('1:2.3-4-5')).toEqual({ epoch: 1, upstream: '2.3-4', revision: '5' })
    expect(parseDebianVersion('2.3')).toEqual({ epoch: 0, upstream: '2.3', revision: '' })
  })

  it('refuses what is no version', () => {
    for (const text of ['', '1:', 'x:1', '1 2', '1_2', '-1']) {
      expect(() => parseDebianVersion(text), text).toThrow(RangeError)
    }
  })
})

describe('isVersionInRelation()', () => {
  it('knows the five operators', () => {
    expect(isVersionInRelation('1.0', '<<', '1.1')).toBe(true)
    expect(isVersionInRelation('1.1', '<<', '1.1')).toBe(false)
    expect(isVersionInRelation('1.1', '<=', '1.1')).toBe(true)
    expect(isVersionInRelation('1.1', '=', '1.1-0')).toBe(true)
    expect(isVersionInRelation('1.1', '>=', '1.2')).toBe(false)
    expect(isVersionInRelation('1.3', '>>', '1.2')).toBe(true)
  })
})
