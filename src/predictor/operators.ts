import {
  asList,
  compareValues,
  entryOf,
  holdsUnknown,
  isDict,
  isEnumMember,
  makeDict,
  MAX_ITEMS,
  Unknowable,
  type Value,
} from './values.ts'

/** `-x`, `+x`, `not x`. @throws Unknowable */
export function unary(operator: string, value: Value): Value {
  if (operator === 'not') return !isTrue(value)
  if (operator === '-' && typeof value === 'number') return -value
  if (operator === '+' && typeof value === 'number') return value
  throw new Unknowable()
}

/** What Python takes for true: all but None, False, 0 and what is empty. */
export function isTrue(value: Value): boolean {
  if (Array.isArray(value)) return value.length > 0
  if (isDict(value)) return value.entries.length > 0
  if (typeof value === 'object' && value !== null && !isEnumMember(value)) throw new Unknowable()
  return Boolean(value)
}

/** `a == b`, `a in b`, `a < b` and their like. @throws Unknowable */
export function compare(operator: string, left: Value, right: Value): Value {
  switch (operator) {
    case '==':
    case '!=':
      return isEqual(left, right) === (operator === '==')
    case 'is':
    case 'is not':
      // Only of constants is it known whether two are the same object.
      if (left !== null && right !== null && typeof left !== 'boolean') throw new Unknowable()
      return (left === right) === (operator === 'is')
    case 'in':
    case 'not in': {
      const isIn =
        typeof right === 'string' && typeof left === 'string'
          ? right.includes(left)
          : asList(right).some((item) => isEqual(item, left))
      return isIn === (operator === 'in')
    }
    case '<':
      return compareValues(left, right) < 0
    case '<=':
      return compareValues(left, right) <= 0
    case '>':
      return compareValues(left, right) > 0
    case '>=':
      return compareValues(left, right) >= 0
    default:
      throw new Unknowable()
  }
}

/** `a == b`. @throws Unknowable where Python may see it differently */
export function isEqual(left: Value, right: Value): boolean {
  if (Array.isArray(left) && Array.isArray(right)) {
    const [a, b] = [asList(left), asList(right)]
    return a.length === b.length && a.every((item, index) => isEqual(item, b[index] ?? null))
  }
  const isPlain = (value: Value): boolean => typeof value !== 'object' || value === null
  // `True == 1` is true to Python.
  if (typeof left === 'boolean' && typeof right === 'number') return Number(left) === right
  if (typeof left === 'number' && typeof right === 'boolean') return left === Number(right)
  if (isPlain(left) && isPlain(right)) return left === right
  if (isPlain(left) !== isPlain(right) && !holdsUnknown(left) && !holdsUnknown(right)) {
    if (!isEnumMember(left) && !isEnumMember(right)) return false
  }
  throw new Unknowable()
}

/** `a + b` and its like. @throws Unknowable */
export function binary(operator: string, left: Value, right: Value): Value {
  if (typeof left === 'number' && typeof right === 'number') return arithmetic(operator, left, right)
  if (operator === '+' && typeof left === 'string' && typeof right === 'string') return left + right
  if (operator === '+' && Array.isArray(left) && Array.isArray(right)) return [...asList(left), ...asList(right)]
  if (operator === '|' && isDict(left) && isDict(right)) return makeDict([...left.entries, ...right.entries])
  if (operator === '*' && Array.isArray(left) && Number.isInteger(right) && Number(right) * left.length <= MAX_ITEMS) {
    return Array.from({ length: Math.max(0, Number(right)) }, () => asList(left)).flat()
  }
  throw new Unknowable()
}

function arithmetic(operator: string, left: number, right: number): Value {
  switch (operator) {
    case '+':
      return left + right
    case '-':
      return left - right
    case '*':
      return left * right
    case '**':
      return left ** right
    case '/':
    case '//':
    case '%': {
      if (right === 0) throw new Unknowable()
      if (operator === '/') return left / right
      return operator === '//' ? Math.floor(left / right) : left - right * Math.floor(left / right)
    }
    case '<<':
      if (left >= 0 && right >= 0 && right < 50) return left * 2 ** right
      throw new Unknowable()
    default:
      throw new Unknowable()
  }
}

/** `object[key]` of a list or dict. @throws Unknowable */
export function subscript(object: Value, items: readonly Value[]): Value {
  const [key] = items
  if (items.length !== 1 || key === undefined) throw new Unknowable()
  if (isDict(object)) {
    const found = entryOf(object, key)
    if (found !== undefined) return found
  }
  if (Array.isArray(object) && typeof key === 'number') {
    const found = asList(object).at(key)
    if (found !== undefined) return found
  }
  throw new Unknowable()
}
