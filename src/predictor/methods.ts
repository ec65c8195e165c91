import { asList, entryOf, isDict, pythonText, Unknowable, type PythonDict, type Value } from './values.ts'

/** A call of a method of a dict or text. @throws Unknowable */
export function callMethod(object: Value, name: string, args: readonly Value[]): Value {
  const result = isDict(object)
    ? DICT_METHODS.get(name)?.(object, args)
    : typeof object === 'string'
      ? TEXT_METHODS.get(name)?.(object, args)
      : undefined
  if (result === undefined) throw new Unknowable()
  return result
}

/** A method of Python's; undefined for arguments that are not known here. */
type Method<Of> = (object: Of, args: readonly Value[]) => Value | undefined

const DICT_METHODS: ReadonlyMap<string, Method<PythonDict>> = new Map([
  ['keys', bare(({ entries }: PythonDict) => entries.map(([key]) => key))],
  ['values', bare(({ entries }: PythonDict) => entries.map(([, value]) => value))],
  ['items', bare(({ entries }: PythonDict) => entries.map(([key, value]) => [key, value]))],
  ['copy', bare((dict: PythonDict) => dict)],
  ['get', get],
])

const TEXT_METHODS: ReadonlyMap<string, Method<string>> = new Map([
  ['replace', replace],
  ['startswith', withText((text, start) => text.startsWith(start))],
  ['endswith', withText((text, end) => text.endsWith(end))],
  ['split', split],
  ['lower', bare((text: string) => text.toLowerCase())],
  ['upper', bare((text: string) => text.toUpperCase())],
  ['title', bare(titleCase)],
  ['capitalize', bare((text: string) => text.slice(0, 1).toUpperCase() + text.slice(1).toLowerCase())],
  ['strip', bare((text: string) => text.trim())],
  ['join', (text, [parts]) => (parts === undefined ? undefined : asList(parts).map(pythonText).join(text))],
])

/** A letter after a letter is small, any other large: `o'neill` becomes `O'Neill`. */
function titleCase(text: string): string {
  return text.replaceAll(/\p{L}+/gu, (word) => word.slice(0, 1).toUpperCase() + word.slice(1).toLowerCase())
}

function bare<Of>(work: (object: Of) => Value): Method<Of> {
  return (object, args) => (args.length === 0 ? work(object) : undefined)
}

function withText(work: (text: string, argument: string) => Value): Method<string> {
  return (text, args) => {
    const [argument] = args
    return args.length === 1 && typeof argument === 'string' ? work(text, argument) : undefined
  }
}

function get(dict: PythonDict, args: readonly Value[]): Value | undefined {
  if (args.length === 0 || args.length > 2) return undefined
  const found = entryOf(dict, args[0])
  return found === undefined ? (args[1] ?? null) : found
}

function replace(text: string, args: readonly Value[]): Value | undefined {
  const [from, to] = args
  if (args.length !== 2 || typeof from !== 'string' || typeof to !== 'string') return undefined
  return text.replaceAll(from, () => to)
}

/** Without a separator at white space, of which that at the ends separates nothing. */
function split(text: string, args: readonly Value[]): Value | undefined {
  const [separator] = args
  if (args.length === 0) return text.trim() === '' ? [] : text.trim().split(/\s+/)
  return args.length === 1 && typeof separator === 'string' && separator !== '' ? text.split(separator) : undefined
}
