import { describe, expect, test } from 'vitest'
import { MarkedStrings, type MarkedStringsLimits } from '../../src/core/marked-strings.ts'

function find(bytes: Buffer, step: number, limits?: MarkedStringsLimits): MarkedStrings {
  const found = new MarkedStrings(['.so', '/lib'], limits)
  for (let at = 0; at < bytes.length; at += step) found.write(Buffer.from(bytes.subarray(at, at + step)), at)
  return found
}

describe('MarkedStrings', () => {
  const bytes = Buffer.from('other\0liba.so.1\0/usr/lib/x\0end.so')

  test.each([1, 3, 8, 100])('finds marked strings in pieces of %i bytes', (step) => {
    const found = find(bytes, step)
    expect(found.textAt(6)).toBe('liba.so.1')
    expect(found.textAt(8)).toBe('ba.so.1')
    expect(found.textAt(16)).toBe('/usr/lib/x')
    expect(found.textAt(0)).toBeUndefined()
    // Without a zero behind it, it may go on.
    expect(found.textAt(27)).toBeUndefined()
    expect(found.textAt(Number.NaN)).toBeUndefined()
  })

  test('joins nothing across a gap', () => {
    const found = new MarkedStrings(['.so'])
    found.write(Buffer.from('\0lib'), 0)
    found.write(Buffer.from('a.so\0'), 100)
    expect(found.textAt(1)).toBeUndefined()
    expect(found.textAt(100)).toBe('a.so')
  })

  test('keeps no more than it may', () => {
    const many = Buffer.from('a.so\0b.so\0c.so\0')
    expect(find(many, 100, { strings: 2 }).textAt(10)).toBeUndefined()
    expect(find(many, 100, { strings: 2 }).textAt(5)).toBe('b.so')
    expect(find(many, 100, { characters: 4 }).textAt(5)).toBeUndefined()
  })
})
