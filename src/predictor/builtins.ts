import {
  asDict,
  asList,
  compareValues,
  entryOf,
  isDict,
  MAX_ITEMS,
  pythonText,
  Unknowable,
  type Value,
} from './values.ts'

/** A call of a function by its full name, such as `builtins.len`. @throws Unknowable */
export function callBuiltin(name: string, args: readonly Value[]): Value {
  const [first] = args
  switch (name) {
    case 'builtins.list':
    case 'builtins.tuple':
    case 'builtins.set':
      return args.length === 0 ? [] : asList(first ?? null)
    case 'builtins.dict':
      return args.length === 0 ? { entries: [] } : asDict(first ?? null)
    case 'builtins.range':
      return range(args)
    case 'builtins.str':
      return pythonText(first ?? null)
    case 'builtins.int':
      if (typeof first === 'number') return Math.trunc(first)
      break
    case 'builtins.float':
      if (typeof first === 'number') return first
      break
    case 'builtins.min':
    case 'builtins.max': {
      const [least, ...others] = (args.length === 1 ? asList(first ?? null) : args).toSorted(compareValues)
      const found = name === 'builtins.min' ? least : (others.at(-1) ?? least)
      if (found !== undefined) return found
      break
    }
    case 'builtins.len':
      return typeof first === 'string' ? [...first].length : asList(first ?? null).length
    case 'cog.Path':
    case 'pathlib.Path':
    case 'cog.Secret':
      if (typeof first === 'string' && args.length === 1) return first
      break
    default:
  }
  throw new Unknowable()
}

function range(args: readonly Value[]): Value {
  if (args.length === 0 || args.length > 3 || !args.every((arg) => Number.isInteger(arg))) throw new Unknowable()
  const numbers = args as readonly number[]
  const [start, stop] = numbers.length === 1 ? [0, numbers[0] ?? 0] : [numbers[0] ?? 0, numbers[1] ?? 0]
  const step = numbers[2] ?? 1
  const length = step === 0 ? Number.NaN : Math.max(0, Math.ceil((stop - start) / step))
  if (!(length <= MAX_ITEMS)) throw new Unknowable()
  return Array.from({ length }, (_, index) => start + index * step)
}

/** A call of a method of a dict or text. @throws Unknowable */
export function callMethod(object: Value, name: string, args: readonly Value[]): Value {
  if (isDict(object) && args.length === 0) {
    if (name === 'keys') return object.entries.map(([key]) => key)
    if (name === 'values') return object.entries.map(([, value]) => value)
    if (name === 'items') return object.entries.map(([key, value]) => [key, value])
    if (name === 'copy') return object
  }
  if (isDict(object) && name === 'get' && args.length > 0 && args.length <= 2) {
    const found = entryOf(object, args[0])
    return found === undefined ? (args[1] ?? null) : found
  }
  if (typeof object === 'string') {
    const [first, second] = args
    if (name === 'replace' && args.length === 2 && typeof first === 'string' && typeof second === 'string')
      return object.replaceAll(first, () => second)
    if (name === 'startswith' && args.length === 1 && typeof first === 'string') return object.startsWith(first)
    if (name === 'endswith' && args.length === 1 && typeof first === 'string') return object.endsWith(first)
    if (name === 'split' && args.length === 0) return object.trim().split(/\s+/)
    if (name === 'split' && args.length === 1 && typeof first === 'string' && first !== '') return object.split(first)
    if (name === 'lower' && args.length === 0) return object.toLowerCase()
    if (name === 'upper' && args.length === 0) return object.toUpperCase()
    if (name === 'strip' && args.length === 0) return object.trim()
    if (name === 'join' && first !== undefined) return asList(first).map(pythonText).join(object)
  }
  throw new Unknowable()
}
