import { describe, expect, it } from 'vitest'
import { formatClause, isVersionAccepted, parseDependencies, parseRelation } from '../../src/debian/dependency.ts'

describe('parseDependencies()', () => {
  it('reads clauses, alternatives, versions and qualifiers', () => {
    expect(parseDependencies('libc6 (>= 2.36), mail-transport-agent | exim4 (<< 5), python3:any')).toEqual([
      [{ name: 'libc6', operator: '>=', version: '2.36' }],
      [{ name: 'mail-transport-agent' }, { name: 'exim4', operator: '<<', version: '5' }],
      [{ name: 'python3', qualifier: 'any' }],
    ])
  })

  it('takes the old operators for their modern meaning', () => {
    expect(parseRelation('a (< 1)').operator).toBe('<=')
    expect(parseRelation('a (> 1)').operator).toBe('>=')
  })

  it('passes over architecture lists and build profiles', () => {
    expect(parseRelation('a (= 1) [amd64] <!nocheck>')).toEqual({ name: 'a', operator: '=', version: '1' })
  })

  it('takes an empty field for no dependency', () => {
    expect(parseDependencies('')).toEqual([])
    expect(parseDependencies('a, ')).toHaveLength(1)
  })

  it('refuses what breaks the grammar', () => {
    for (const text of ['a b', 'a (1)', 'a (>= )', '(>= 1)', 'a (>= 1', 'a ($x)', '../a']) {
      expect(() => parseDependencies(text), text).toThrow(RangeError)
    }
  })

  it('gives the same after formatting', () => {
    const text = 'libc6 (>= 2.36) | libc6:any (= 1:2-3)'
    expect(parseDependencies(text).map(formatClause)).toEqual([text])
  })
})

describe('parseRelation()', () => {
  it('takes white space between its parts, on several lines too', () => {
    expect(parseRelation('libc6   (>=\n   2.36)  [amd64]   <!nocheck>')).toEqual(
      parseRelation('libc6 (>= 2.36) [amd64] <!nocheck>'),
    )
  })

  // Took time by the cube of the white space: 4 kB of it were minutes.
  it.each(['a' + ' '.repeat(100_000) + '!', 'a (>= 1' + '\n'.repeat(100_000) + '!', 'a' + ' <b>'.repeat(50_000) + '!'])(
    'refuses %#, which nothing ends, in one pass',
    (text) => {
      expect(() => parseRelation(text)).toThrow(RangeError)
    },
  )
})

describe('isVersionAccepted()', () => {
  it('takes every version when the relation states none', () => {
    expect(isVersionAccepted({ name: 'a' }, '0~')).toBe(true)
    expect(isVersionAccepted({ name: 'a', operator: '>=', version: '2' }, '1')).toBe(false)
  })
})
