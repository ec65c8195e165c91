import { literalType } from '../predictor/json-schema.ts'
import type { ValueType } from '../predictor/value-type.ts'

/**
 * Whether some value of one type can be one of the other: false only where none ever is.
 *
 * A value that may be null fits what takes none, and a number fits a whole number: whether it does is known when it runs.
 */
export function fits(from: ValueType, to: ValueType): boolean {
  if (from.kind === 'any' || to.kind === 'any') return true
  if (from.kind === 'nullable') return fits(from.of, to) || to.kind === 'nullable'
  if (to.kind === 'nullable') return from.kind === 'none' || fits(from, to.of)
  if (from.kind === 'union') return from.members.some((member) => fits(member, to))
  if (to.kind === 'union') return to.members.some((member) => fits(from, member))
  if (from.kind === 'literal') return from.values.some((value) => fitsValue(value, to))
  if (to.kind === 'literal') return to.values.some((value) => fitsValue(value, from))
  return SCALARS[from.kind]?.includes(to.kind) ?? fitsWithin(from, to)
}

/** What of the same JSON type may be read as what. A text can be the address of a file; a file is no text. */
const SCALARS: Readonly<Partial<Record<ValueType['kind'], readonly ValueType['kind'][]>>> = {
  string: ['string', 'path', 'file', 'secret'],
  secret: ['string', 'secret'],
  path: ['path', 'file'],
  file: ['path', 'file'],
  integer: ['integer', 'number'],
  number: ['integer', 'number'],
  boolean: ['boolean'],
  none: ['none'],
}

function fitsValue(value: string | number | boolean, type: ValueType): boolean {
  if (type.kind === 'literal') return type.values.includes(value)
  const { type: kind } = literalType([value])
  return kind !== undefined && fits({ kind }, type)
}

function fitsWithin(from: ValueType, to: ValueType): boolean {
  if (from.kind === 'list' || from.kind === 'iterator') return to.kind === 'list' && fits(from.item, to.item)
  if (to.kind === 'opaque') return true
  if (from.kind === 'opaque') return to.kind === 'dict' || to.kind === 'object'
  if (from.kind === 'dict') {
    if (to.kind === 'dict') return fits(from.value, to.value)
    return to.kind === 'object' && to.fields.every(({ required, type }) => !required || fits(from.value, type))
  }
  if (from.kind !== 'object') return false
  if (to.kind === 'dict') return from.fields.every(({ required, type }) => !required || fits(type, to.value))
  return to.kind === 'object' && to.fields.every((field) => hasField(from, field))
}

function hasField(
  { fields }: Extract<ValueType, { kind: 'object' }>,
  { name, type, required }: Extract<ValueType, { kind: 'object' }>['fields'][number],
): boolean {
  const own = fields.find((field) => field.name === name)
  return own === undefined ? !required : fits(own.type, type)
}

/** A type in the words of a message. */
export function describeType(type: ValueType): string {
  switch (type.kind) {
    case 'string':
      return 'text'
    case 'integer':
      return 'a whole number'
    case 'number':
      return 'a number'
    case 'boolean':
      return 'true or false'
    case 'path':
    case 'file':
      return 'a file'
    case 'secret':
      return 'a secret'
    case 'any':
      return 'anything'
    case 'none':
      return 'nothing'
    case 'list':
    case 'iterator':
      return type.item.kind === 'any' ? 'a list' : `a list of ${describeType(type.item).replace(/^an? /, '')}`
    case 'opaque':
    case 'dict':
      return 'a mapping'
    case 'object':
      return type.name === '' ? 'a mapping' : `a mapping (${type.name})`
    case 'literal':
      return `${type.values.length > 1 ? 'one of ' : ''}${type.values.map((value) => JSON.stringify(value)).join(', ')}`
    case 'union':
      return type.members.map(describeType).join(' or ')
    case 'nullable':
      return `${describeType(type.of)} or null`
  }
}
