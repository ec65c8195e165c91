import { asDict, asList, compareValues, MAX_ITEMS, pythonText, Unknowable, type Value } from './values.ts'

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
