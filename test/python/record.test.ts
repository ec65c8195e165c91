import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addToRecord, formatRecord, parseRecord } from '../../src/python/record.ts'

const HASH = '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU'

describe('parseRecord()', () => {
  test.each([
    [
      'a plain row',
      `a.py,sha256=${HASH},0\n`,
      { path: 'a.py', sizeBytes: 0, hash: { algorithm: 'sha256', value: HASH } },
    ],
    ['padding', `a.py,sha256=${HASH}=,0\n`, { hash: { value: HASH } }],
    ['no size', `a.py,sha256=${HASH},\n`, { sizeBytes: undefined }],
    ['no hash', 'a.py,,\n', { hash: undefined }],
    ['Windows line ends', `a.py,,\r\n`, { path: 'a.py' }],
    ['no line end', 'a.py,,', { path: 'a.py' }],
    ['a quoted comma', '"a,b.py",,\n', { path: 'a,b.py' }],
    ['a quoted quote', '"a""b.py",,\n', { path: 'a"b.py' }],
    ['a byte order mark', '\uFEFFa.py,,\n', { path: 'a.py' }],
    ['a stronger hash', `a.py,sha512=${Buffer.alloc(64).toString('base64url')},1\n`, { hash: { algorithm: 'sha512' } }],
  ])('reads %s', (_, text, expected) => {
    expect([...parseRecord(text, 'x.whl').values()]).toMatchObject([expected])
  })

  test('skips empty lines', () => {
    expect(parseRecord('\na.py,,\n\n', 'x.whl').size).toBe(1)
  })

  test.each([
    ['two fields', 'a.py,\n', /line 1: expected 3 fields/],
    ['four fields', 'a.py,,,\n', /line 1: expected 3 fields/],
    ['a climbing path', 'b.py,,\n../a.py,,\n', /line 2: the path "\.\.\/a\.py" leaves/],
    ['an absolute path', '/a.py,,\n', /is absolute/],
    ['a backslash', 'a\\b.py,,\n', /backslash/],
    ['one path twice', 'a.py,,\na.py,,\n', /line 2: `a\.py` is listed twice/],
    ['md5', 'a.py,md5=1B2M2Y8AsgTpgAmY7PhCfg,0\n', /must be sha256, sha384 or sha512/],
    ['a hex hash', `a.py,sha256=${'0'.repeat(64)},0\n`, /not a sha256 hash/],
    ['a hash of the wrong alphabet', `a.py,sha256=${'+'.repeat(43)},0\n`, /not a sha256 hash/],
    ['a negative size', 'a.py,,-1\n', /not a size/],
    ['a quote without an end', '"a.py,,\n', /has no end/],
    ['text after a quote', '"a"b,,\n', /text after a quoted field/],
  ])('refuses %s', (_, text, reason) => {
    expect(() => parseRecord(text, 'x.whl')).toThrow(reason)
  })
})

test('formatRecord() sorts, quotes and is read back; addToRecord() gives what it would', () => {
  const path = fc
    .string({ minLength: 1, maxLength: 20, unit: fc.constantFrom(...'ab,"é /_.'.split('')) })
    .filter((text) => text.split('/').every((part) => !['', '.', '..'].includes(part)))
  const row = fc.record({
    path,
    hash: fc.constantFrom(undefined, { algorithm: 'sha256' as const, value: HASH }),
    sizeBytes: fc.option(fc.nat(), { nil: undefined }),
  })
  fc.assert(
    fc.property(fc.uniqueArray(row, { selector: ({ path }) => path }), fc.nat(20), (rows, some) => {
      const text = formatRecord(rows)
      expect(addToRecord(formatRecord(rows.slice(some)), rows.slice(0, some))).toBe(text)
      expect(formatRecord(rows.toReversed())).toBe(text)
      expect([...parseRecord(text, 'x').values()]).toEqual(rows.toSorted((a, b) => (a.path < b.path ? -1 : 1)))
    }),
  )
})
