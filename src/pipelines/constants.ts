import type { InputDescription } from '../predictor/input.ts'
import { union, type ValueType } from '../predictor/value-type.ts'

/** The type of a value that stands in the cog.yaml. */
export function typeOfConstant(value: unknown): ValueType {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return { kind: 'literal', values: [value] }
  if (typeof value !== 'object' || value === null) return { kind: 'none' }
  if (Array.isArray(value)) {
    return { kind: 'list', item: value.length === 0 ? { kind: 'any' } : union(value.map(typeOfConstant)) }
  }
  const fields = Object.entries(value).map(([name, inner]) => ({ name, type: typeOfConstant(inner), required: true }))
  return { kind: 'object', name: '', form: 'typed-dict', fields }
}

/** Which choice or limit of an input a constant breaks; undefined when it keeps them. Those of a list are its items'. */
export function brokenLimit(value: unknown, input: InputDescription): string | undefined {
  if (Array.isArray(value)) return value.map((item) => brokenLimit(item, input)).find((text) => text !== undefined)
  const { choices, minimum, maximum, minLength, maxLength, pattern } = input
  if (choices !== undefined && !choices.some((choice) => choice === value))
    return `it is one of ${choices.map((choice) => JSON.stringify(choice)).join(', ')}`
  if (typeof value === 'number') {
    if (minimum !== undefined && value < minimum) return `it is at least ${minimum}`
    if (maximum !== undefined && value > maximum) return `it is at most ${maximum}`
  }
  if (typeof value === 'string') {
    const length = [...value].length
    if (minLength !== undefined && length < minLength) return `it has at least ${minLength} characters`
    if (maxLength !== undefined && length > maxLength) return `it has at most ${maxLength} characters`
    if (pattern !== undefined && isPlain(pattern) && !new RegExp(pattern, 'u').test(value))
      return `it matches \`${pattern}\``
  }
  return undefined
}

/** Patterns are Python's: one that means something else here, or nothing, is left to the server. */
function isPlain(pattern: string): boolean {
  return /^\^?[\w\s.,:;@#%&=~<>/-]*(\[[\w.-]+\][+*]?|\\d[+*]?)*[\w-]*\$?$/.test(pattern)
}
