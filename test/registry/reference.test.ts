import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { apiHost, formatFamiliar, formatReference, parseReference, referenceTag } from '../../registry/reference.ts'

interface Case {
  readonly id: string
  readonly input: string
  readonly valid: boolean
  readonly registry?: string
  readonly repository?: string
  readonly tag?: string | null
  readonly digest?: string | null
  readonly effective_tag?: string | null
  readonly api_host?: string
  readonly familiar?: string
}

const table = new URL('../../fixtures/registry/references.json', import.meta.url)
const { cases } = JSON.parse(readFileSync(table, 'utf8')) as { readonly cases: readonly Case[] }
const label = (c: Case): string => `${c.id} ${JSON.stringify(c.input).slice(0, 80)}`

describe('parseReference() answers as distribution/reference does', () => {
  const valid = cases.filter((c) => c.valid)
  const invalid = cases.filter((c) => !c.valid)

  test('the table is whole', () => expect([valid.length, invalid.length]).toEqual([69, 62]))

  test.each(valid.map((c) => [label(c), c] as const))('%s', (_, c) => {
    const reference = parseReference(c.input)
    expect(reference).toEqual({
      registry: c.registry,
      repository: c.repository,
      tag: c.tag ?? undefined,
      digest: c.digest ?? undefined,
    })
    expect(referenceTag(reference)).toBe(c.effective_tag ?? undefined)
    expect(apiHost(reference.registry)).toBe(c.api_host)
    expect(formatFamiliar(reference)).toBe(c.familiar)
    expect(parseReference(formatReference(reference))).toEqual(reference)
  })

  test.each(invalid.map((c) => [label(c), c] as const))('%s is refused', (_, c) => {
    expect(() => parseReference(c.input)).toThrow(expect.objectContaining({ code: 'REFERENCE_INVALID' }))
  })
})

test.each(['reg.io/a/../../b', 'reg.io/a?x=1', 'reg.io/a#b', 'reg.io/a%2f..', 'reg.io/a\\b', 'user:pw@reg.io/a'])(
  'parseReference() refuses the injection %s',
  (text) => expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'REFERENCE_INVALID' })),
)

test.each([
  'user:s3cret@reg.io/a',
  'https://user:s3cret@reg.io/a:v1',
  'user:x@s3cret@reg.io/a',
  'https://user:x/s3cret@reg.io:5000/a@sha256:00',
  's3cret@localhost:5000/a',
])('parseReference() refuses %s without a word of its password', (text) => {
  let error: unknown
  try {
    parseReference(text)
  } catch (caught) {
    error = caught
  }
  expect(error).toMatchObject({
    code: 'REFERENCE_INVALID',
    message: expect.stringContaining('a user or password does not belong in it') as string,
    hint: expect.stringContaining('layerwright login') as string,
  })
  expect(JSON.stringify([(error as Error).message, error])).not.toContain('s3cret')
})

test('parseReference() names a digest that is none', () => {
  expect(() => parseReference('ubuntu:22.04@sha256:00')).toThrow('`sha256:00` is not a sha256')
})

test('parseReference() never accepts what it cannot write back', () => {
  const part = fc.string({ unit: fc.constantFrom(...'abzAZ019.:/@_-[] sha256'.split('')), maxLength: 40 })
  fc.assert(
    fc.property(part, (text) => {
      let reference
      try {
        reference = parseReference(text)
      } catch (error) {
        expect(error).toMatchObject({ code: 'REFERENCE_INVALID' })
        return
      }
      expect(parseReference(formatReference(reference))).toEqual(reference)
      expect(parseReference(formatFamiliar(reference))).toEqual(reference)
    }),
  )
})
