import { describe, expect, it } from 'vitest'
import { describeType, fits } from '../../src/pipelines/fits.ts'
import { itemOf, typeAt } from '../../src/pipelines/type-at.ts'
import type { ValueType } from '../../src/predictor/value-type.ts'

const T = {
  string: { kind: 'string' },
  integer: { kind: 'integer' },
  number: { kind: 'number' },
  boolean: { kind: 'boolean' },
  path: { kind: 'path' },
  file: { kind: 'file' },
  secret: { kind: 'secret' },
  any: { kind: 'any' },
  opaque: { kind: 'opaque' },
  none: { kind: 'none' },
} as const satisfies Readonly<Record<string, ValueType>>
const list = (item: ValueType): ValueType => ({ kind: 'list', item })
const dict = (value: ValueType): ValueType => ({ kind: 'dict', value })
const nullable = (of: ValueType): ValueType => ({ kind: 'nullable', of })
const either = (...members: ValueType[]): ValueType => ({ kind: 'union', members })
const literal = (...values: (string | number | boolean)[]): ValueType => ({ kind: 'literal', values })
const iterator = (item: ValueType): ValueType => ({ kind: 'iterator', item, concatenate: false })
const object = (fields: Readonly<Record<string, ValueType>>, optional: readonly string[] = []): ValueType => ({
  kind: 'object',
  name: 'Box',
  form: 'model',
  fields: Object.entries(fields).map(([name, type]) => ({ name, type, required: !optional.includes(name) })),
})

describe('fits()', () => {
  it.each<readonly [ValueType, ValueType]>([
    [T.string, T.string],
    [T.any, T.integer],
    [T.path, T.any],
    [T.integer, T.number],
    [T.number, T.integer],
    [T.string, T.path],
    [T.path, T.file],
    [T.string, T.secret],
    [nullable(T.string), T.string],
    [T.string, nullable(T.string)],
    [T.none, nullable(T.path)],
    [nullable(T.path), nullable(T.integer)],
    [either(T.integer, T.string), T.string],
    [T.string, either(T.integer, T.string)],
    [literal('a', 1), T.integer],
    [literal('a'), T.path],
    [T.string, literal('a', 'b')],
    [literal('a', 'c'), literal('a', 'b')],
    [list(T.integer), list(T.number)],
    [iterator(T.string), list(T.string)],
    [list(T.any), list(T.path)],
    [dict(T.any), T.opaque],
    [T.opaque, dict(T.string)],
    [T.opaque, object({ x: T.integer })],
    [object({ x: T.integer }), T.opaque],
    [object({ x: T.integer, y: T.string }), object({ x: T.number })],
    [object({}), object({ x: T.number }, ['x'])],
    [object({ x: T.integer }), dict(T.number)],
    [dict(T.integer), object({ x: T.number })],
  ])('%j fits %j', (from, to) => expect(fits(from, to)).toBe(true))

  it.each<readonly [ValueType, ValueType]>([
    [T.string, T.integer],
    [T.integer, T.string],
    [T.boolean, T.integer],
    [T.integer, T.boolean],
    [T.path, T.string],
    [T.path, T.integer],
    [T.string, list(T.string)],
    [list(T.string), T.string],
    [list(T.string), list(T.integer)],
    [list(T.string), T.opaque],
    [T.none, T.string],
    [nullable(T.path), T.string],
    [either(T.integer, T.path), T.string],
    [T.path, either(T.integer, T.string)],
    [literal('a'), literal('b')],
    [literal('a'), T.integer],
    [literal(true), T.integer],
    [literal(1.5), T.boolean],
    [T.integer, literal('a')],
    [object({ x: T.string }), object({ x: T.integer })],
    [object({}), object({ x: T.integer })],
    [object({ x: T.path }), dict(T.integer)],
    [dict(T.path), object({ x: T.integer })],
    [T.opaque, list(T.any)],
    [T.string, T.opaque],
    [iterator(T.path), list(T.string)],
  ])('%j does not fit %j', (from, to) => expect(fits(from, to)).toBe(false))
})

describe('typeAt()', () => {
  const box = object({ x: T.integer, label: T.string }, ['label'])
  it.each<readonly [ValueType, readonly (string | number)[], ValueType]>([
    [T.string, [], T.string],
    [list(box), [0, 'x'], T.integer],
    [box, ['label'], nullable(T.string)],
    [nullable(list(T.path)), [3], T.path],
    [T.any, ['a', 0, 'b'], T.any],
    [T.opaque, ['a', 0], T.any],
    [dict(T.integer), ['a'], T.integer],
    [either(T.string, box), ['x'], T.integer],
  ])('%j at %j', (type, path, expected) => expect(typeAt(type, path)).toEqual({ type: expected }))

  it.each<readonly [ValueType, readonly (string | number)[], string]>([
    [list(box), ['x'], '`x` names a field, but it is a list of mapping (Box)'],
    [box, [0], '`[0]` is for lists, but it is a mapping (Box)'],
    [dict(T.any), [0], '`[0]` is for lists, but it is a mapping'],
    [T.path, ['width'], 'Nothing lies within a file: `width`'],
    [either(T.string, T.path), ['x'], 'Nothing lies within text: `x`'],
    [box, ['colour'], '`Box` has no field `colour`'],
  ])('%j has nothing at %j', (type, path, problem) => expect(typeAt(type, path)).toMatchObject({ problem }))

  it('suggests the field that was meant, with the path around it', () => {
    expect(typeAt(list(object({ box: box })), [1, 'box', 'lable'])).toMatchObject({ suggestion: [1, 'box', 'label'] })
  })
})

describe('itemOf()', () => {
  it.each<readonly [ValueType, ValueType | undefined]>([
    [list(T.path), T.path],
    [nullable(list(T.path)), T.path],
    [iterator(T.string), T.string],
    [either(T.string, list(T.integer)), T.integer],
    [T.any, T.any],
    [T.string, undefined],
    [dict(T.any), undefined],
  ])('of %j', (type, item) => expect(itemOf(type)).toEqual(item))
})

describe('describeType()', () => {
  it.each<readonly [ValueType, string]>([
    [list(list(T.path)), 'a list of list of file'],
    [list(T.any), 'a list'],
    [nullable(T.integer), 'a whole number or null'],
    [either(T.string, T.boolean), 'text or true or false'],
    [literal('a', 2), 'one of "a", 2'],
    [literal('a'), '"a"'],
    [T.none, 'nothing'],
    [T.secret, 'a secret'],
  ])('says of %j: %s', (type, text) => expect(describeType(type)).toBe(text))
})
