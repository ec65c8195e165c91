import { nearest } from '../../core/suggest.ts'

/** What an input may be, as JSON Schema's keywords say it. */
export interface Limits {
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly choices?: readonly unknown[]
}

const NUMBERS = ['minimum', 'maximum', 'minLength', 'maxLength'] as const

/** Gathers the limits of a schema from its parts; the first that says something counts. Patterns are left to the model. */
export function limitsOf(parts: readonly Readonly<Record<string, unknown>>[]): Limits {
  const numbers = NUMBERS.flatMap((key) => {
    const value = parts.map((part) => part[key]).find((limit) => typeof limit === 'number')
    return value === undefined ? [] : [[key, value]]
  })
  const choices = parts.map((part) => part['enum']).find((list) => Array.isArray(list))
  return { ...Object.fromEntries(numbers), ...(choices === undefined ? {} : { choices }) }
}

/** What is wrong with a value, to be read after its name; undefined within the limits, and for null, lists and objects. */
export function problemOf(value: unknown, limits: Limits): string | undefined {
  if (typeof value === 'object') return undefined
  if (limits.choices !== undefined && !limits.choices.includes(value)) return describeChoice(value, limits.choices)
  if (typeof value === 'number') {
    if (limits.minimum !== undefined && value < limits.minimum) return `is at least ${limits.minimum}, not \`${value}\``
    if (limits.maximum !== undefined && value > limits.maximum) return `is at most ${limits.maximum}, not \`${value}\``
  }
  if (typeof value === 'string') {
    // As Python counts characters: code points.
    const length = [...value].length
    if (limits.minLength !== undefined && length < limits.minLength)
      return `takes at least ${limits.minLength} characters, not ${length}`
    if (limits.maxLength !== undefined && length > limits.maxLength)
      return `takes at most ${limits.maxLength} characters, not ${length}`
  }
  return undefined
}

/** The limits in words, such as `1 to 5` or `"fast" or "slow"`; undefined without any. */
export function describeLimits({ minimum, maximum, choices }: Limits): string | undefined {
  if (choices !== undefined) return choices.map((choice) => JSON.stringify(choice)).join(' or ')
  if (minimum !== undefined) return maximum === undefined ? `at least ${minimum}` : `${minimum} to ${maximum}`
  return maximum === undefined ? undefined : `at most ${maximum}`
}

function describeChoice(value: unknown, choices: readonly unknown[]): string {
  const near = nearest(
    String(value),
    choices.filter((choice) => typeof choice === 'string'),
  )
  const suggestion = near === undefined ? '' : `, did you mean \`${near}\`?`
  return `is ${describeLimits({ choices })}, not \`${String(value)}\`${suggestion}`
}
