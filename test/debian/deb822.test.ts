import { describe, expect, it } from 'vitest'
import { parseDeb822, parseStanza } from '../../src/debian/deb822.ts'

describe('parseDeb822()', () => {
  it('splits stanzas at empty lines and keeps the lines of a long value', () => {
    const [one, two, ...rest] = parseDeb822('Package: a\nDescription: short\n long\n .\n  code\n\n\nPackage: b\r\n')
    expect(one?.get('description')).toBe('short\nlong\n.\n code')
    expect(two?.get('package')).toBe('b')
    expect(rest).toEqual([])
  })

  it('reads field names in any case and passes over comments', () => {
    expect(parseStanza('# hello\nPACKAGE: a\n').get('package')).toBe('a')
  })

  it('refuses what is no control data', () => {
    for (const text of [' orphan', 'no colon', ': x', 'A: 1\na: 2']) {
      expect(() => parseDeb822(text), text).toThrow(RangeError)
    }
  })
})

describe('parseStanza()', () => {
  it('refuses none and several', () => {
    expect(() => parseStanza('')).toThrow('0 stanzas')
    expect(() => parseStanza('A: 1\n\nB: 2')).toThrow('2 stanzas')
  })
})
