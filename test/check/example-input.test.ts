import { expect, test } from 'vitest'
import { exampleInput } from '../../src/check/example-input.ts'
import { readPng } from '../support/png.ts'

/** The example of one required input. */
const example = (schema: unknown, schemas = {}): unknown =>
  exampleInput({ components: { schemas: { Input: { properties: { x: schema }, required: ['x'] }, ...schemas } } })['x']

test('exampleInput() gives what is required and nothing else', () => {
  const properties = { a: { type: 'string', minLength: 3 }, b: { type: 'integer', minimum: 4 }, c: { type: 'string' } }
  expect(exampleInput({ components: { schemas: { Input: { properties, required: ['a', 'b'] } } } })).toEqual({
    a: 'aaa',
    b: 4,
  })
  expect(exampleInput(undefined)).toEqual({})
})

test('exampleInput() follows references to choices', () => {
  expect(example({ allOf: [{ $ref: '#/components/schemas/x' }] }, { x: { enum: ['p', 'q'] } })).toBe('p')
})

test('exampleInput() gives a picture where pictures are taken, else a text', () => {
  const file = (accept?: string) => String(example({ type: 'string', format: 'uri', 'x-cog-accept': accept }))
  for (const accept of ['image/*', 'image/png', '.jpg,.png']) {
    const text = file(accept)
    expect(text).toMatch(/^data:image\/png;base64,/)
    expect(readPng(Buffer.from(text.slice(text.indexOf(',') + 1), 'base64'))).toEqual({ width: 1, height: 1 })
  }
  expect(file()).toBe('data:text/plain;base64,YQ==')
  expect(file('audio/*')).toBe('data:text/plain;base64,YQ==')
})
