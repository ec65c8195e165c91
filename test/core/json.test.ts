import { describe, expect, test } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import { canonicalDigest, canonicalJson } from '../../src/core/json.ts'

const many = Array.from({ length: 5000 }, (_, n) => ({
  url: `u${n}`,
  path: `p${n}é"\n\u{1F600}`,
  n,
  url2: [{ url: n }],
}))

/** The same without members of a name. */
const without = (value: unknown, name: string): unknown =>
  JSON.parse(JSON.stringify(value, (key, member: unknown) => (key === name ? undefined : member)))

describe('canonicalJson()', () => {
  test.each([
    [{ b: 1, a: [1, 'x', null, true, { d: {}, c: [] }] }, '{"a":[1,"x",null,true,{"c":[],"d":{}}],"b":1}'],
    [{ a: undefined, b: () => 1 }, '{}'],
    [[undefined, () => 1, Symbol('x')], '[null,null,null]'],
    [{ 10: 'ten', 9: 'nine', '-': 0 }, '{"-":0,"10":"ten","9":"nine"}'],
    ['"\u2028', '"\\"\u2028"'],
    [null, 'null'],
    [Number.NaN, 'null'],
  ])('writes %j', (value, text) => {
    expect(canonicalJson(value)).toBe(text)
  })

  test('writes what gives its members one by one as an array of them', () => {
    const made = {
      length: 2,
      *[Symbol.iterator]() {
        yield* [{ b: 1, a: 2 }, undefined]
      },
    }
    expect(canonicalJson({ made })).toBe('{"made":[{"a":2,"b":1},null]}')
  })

  test.each([[undefined], [() => 1], [1n]])('refuses %s', (value) => {
    expect(() => canonicalJson(value)).toThrow(TypeError)
  })
})

describe('canonicalDigest()', () => {
  test.each([[{}], [[]], ['text'], [{ a: 1, url: 2 }], [many], [{ many, é: many }]])(
    'is that of the text: %#',
    (value) => {
      expect(canonicalDigest(value)).toBe(digestOf(canonicalJson(value)))
      expect(canonicalDigest(value, 'url')).toBe(digestOf(canonicalJson(without(value, 'url'))))
    },
  )
})
