/** A Python value that was worked out without running anything. */
export type Value = string | number | boolean | null | readonly Value[] | PythonDict | EnumMember | UnknownValue

/** What only Python can work out, as a value in a dict whose keys alone may be asked for. */
export interface UnknownValue {
  readonly isUnknown: true
}

/** The one unknown value. */
export const UNKNOWN: UnknownValue = { isUnknown: true }

/** A dict, in its order. */
export interface PythonDict {
  readonly entries: readonly (readonly [Value, Value])[]
}

/** A member of an `enum.Enum` class. */
export interface EnumMember {
  readonly name: string
  readonly value: Value
}

/** More items than a signature needs. */
export const MAX_ITEMS = 20_000

/** Thrown for an expression that only Python itself can work out. */
export class Unknowable extends Error {}

/** A dict of entries, of which later ones may replace earlier ones. */
export function makeDict(entries: readonly (readonly [Value, Value])[]): PythonDict {
  // A later entry takes the value, the first one keeps the place.
  const byKey = new Map<Value, Value>()
  for (const [key, value] of entries) byKey.set(key, value)
  return { entries: [...byKey] }
}

/** What a loop over a value goes through. @throws Unknowable for what has no items */
export function asList(value: Value): readonly Value[] {
  if (Array.isArray(value)) return value as readonly Value[]
  if (isDict(value)) return value.entries.map(([key]) => key)
  throw new Unknowable()
}

/** The value itself. @throws Unknowable when it is no dict */
export function asDict(value: Value): PythonDict {
  if (isDict(value)) return value
  throw new Unknowable()
}

/** The value under a key of a dict, None included; undefined when the key is not there. */
export function entryOf({ entries }: PythonDict, key: Value | undefined): Value | undefined {
  return entries.find(([name]) => name === key)?.[1]
}

/** Tells a dict from the other values. */
export function isDict(value: Value): value is PythonDict {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && 'entries' in value
}

/** Tells whether any part of a value is unknown. */
export function holdsUnknown(value: Value): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value)) return (value as readonly Value[]).some(holdsUnknown)
  if (isDict(value)) return value.entries.some(([key, member]) => holdsUnknown(key) || holdsUnknown(member))
  return isEnumMember(value) ? holdsUnknown(value.value) : true
}

/** Tells a member of an enum from the other values. */
export function isEnumMember(value: Value): value is EnumMember {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && 'name' in value
}

/** Orders numbers or texts as Python does. @throws Unknowable for anything else */
export function compareValues(a: Value, b: Value): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0
  throw new Unknowable()
}

/** `str(value)`. @throws Unknowable where it is not plain, as for fractions */
export function pythonText(value: Value): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' && Number.isInteger(value)) return String(value)
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  throw new Unknowable()
}

/** The JSON form of a value: dict keys become text, enum members their values. */
export function toJson(value: Value): unknown {
  if (Array.isArray(value)) return (value as readonly Value[]).map(toJson)
  if (isDict(value))
    return Object.fromEntries(value.entries.map(([key, member]) => [String(toJson(key)), toJson(member)]))
  return isEnumMember(value) ? toJson(value.value) : value
}
