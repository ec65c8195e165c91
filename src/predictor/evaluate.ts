import type { Meaning, Modules, Scope } from './modules.ts'
import type { Expression } from './syntax.ts'

/** A Python value that was worked out without running anything. */
export type Value = string | number | boolean | null | readonly Value[] | PythonDict | EnumMember | UnknownValue

/** What only Python can work out, as a value in a dict whose keys alone may be asked for. */
export interface UnknownValue {
  readonly isUnknown: true
}

const UNKNOWN: UnknownValue = { isUnknown: true }

/** A dict, in its order. */
export interface PythonDict {
  readonly entries: readonly (readonly [Value, Value])[]
}

/** A member of an `enum.Enum` class. */
export interface EnumMember {
  readonly name: string
  readonly value: Value
}

/** Thrown for an expression that only Python itself can work out. */
class Unknowable extends Error {}

const MAX_STEPS = 20_000

/**
 * Works out an expression made of literals, names of constants, and the plain operations on them.
 *
 * @returns undefined when that is not possible
 */
export function evaluate(
  expression: Expression,
  scope: Scope,
  modules: Modules,
): { readonly value: Value } | undefined {
  try {
    const value = new Evaluator(modules).evaluate(expression, scope, new Map())
    return holdsUnknown(value) ? undefined : { value }
  } catch (error) {
    if (error instanceof Unknowable) return undefined
    throw error
  }
}

type Locals = ReadonlyMap<string, Value>

class Evaluator {
  readonly #modules: Modules
  #steps = 0

  constructor(modules: Modules) {
    this.#modules = modules
  }

  evaluate(expression: Expression, scope: Scope, locals: Locals): Value {
    if (++this.#steps > MAX_STEPS) throw new Unknowable()
    const again = (inner: Expression): Value => this.evaluate(inner, scope, locals)
    switch (expression.kind) {
      case 'string':
      case 'number':
      case 'constant':
        return expression.value
      case 'format':
        return expression.parts.map((part) => pythonText(again(part))).join('')
      case 'list':
      case 'tuple':
      case 'set':
        return expression.items.flatMap((item) => (item.kind === 'splat' ? asList(again(item.value)) : [again(item)]))
      case 'dict':
        return makeDict(
          expression.entries.flatMap(([key, value]) =>
            key === undefined
              ? asDict(again(value)).entries
              : [[again(key), this.#orUnknown(value, scope, locals)] as const],
          ),
        )
      case 'name': {
        const local = locals.get(expression.name)
        return local === undefined ? this.#named(expression, scope) : local
      }
      case 'attribute':
        return this.#attribute(expression, scope, locals)
      case 'subscript':
        return subscript(again(expression.value), expression.items.map(again))
      case 'unary':
        return unary(expression.operator, again(expression.operand))
      case 'binary':
        return binary(expression.operator, again(expression.left), again(expression.right))
      case 'call':
        return this.#call(expression, scope, locals)
      case 'comprehension': {
        const source = this.#iterate(expression.source, scope, locals)
        return source.map((item) =>
          this.evaluate(expression.body, scope, new Map(locals).set(expression.variable, item)),
        )
      }
      case 'ellipsis':
      case 'splat':
      case 'other':
        throw new Unknowable()
    }
  }

  /** `{"DDIM": DDIMScheduler}`: its keys are choices as good as any. */
  #orUnknown(expression: Expression, scope: Scope, locals: Locals): Value {
    try {
      return this.evaluate(expression, scope, locals)
    } catch (error) {
      if (error instanceof Unknowable && this.#steps <= MAX_STEPS) return UNKNOWN
      throw error
    }
  }

  #named(expression: Expression, scope: Scope): Value {
    const meaning = this.#modules.resolve(expression, scope)
    if (meaning?.kind !== 'value' || meaning.syntax.value === undefined) throw new Unknowable()
    if (isSelfReference(meaning, expression, scope)) throw new Unknowable()
    return this.evaluate(meaning.syntax.value, meaning.scope, new Map())
  }

  #attribute(expression: Extract<Expression, { kind: 'attribute' }>, scope: Scope, locals: Locals): Value {
    const { object, name } = expression
    if (object.kind === 'name' && locals.has(object.name))
      return enumAttribute(this.evaluate(object, scope, locals), name)
    const owner = object.kind === 'attribute' ? this.#modules.resolve(object.object, scope) : undefined
    // `Style.BOLD.value`
    if (owner?.kind === 'class' && object.kind === 'attribute' && this.#isEnum(owner)) {
      const member = this.#enumMembers(owner).find((member) => member.name === object.name)
      if (member !== undefined) return enumAttribute(member, name)
    }
    return this.#named(expression, scope)
  }

  #iterate(source: Expression, scope: Scope, locals: Locals): readonly Value[] {
    const meaning =
      source.kind === 'name' || source.kind === 'attribute' ? this.#modules.resolve(source, scope) : undefined
    if (meaning?.kind === 'class' && this.#isEnum(meaning)) return this.#enumMembers(meaning)
    return asList(this.evaluate(source, scope, locals))
  }

  #isEnum(meaning: Extract<Meaning, { kind: 'class' }>): boolean {
    return this.#modules.externalBases(meaning).some((base) => /^enum\.(Str|Int)?Enum$/.test(base))
  }

  #enumMembers(meaning: Extract<Meaning, { kind: 'class' }>): readonly EnumMember[] {
    const scope: Scope = { ...meaning.scope, classes: [meaning.syntax, ...meaning.scope.classes] }
    return meaning.syntax.body.flatMap((statement) => {
      if (statement.kind !== 'assign' || statement.value === undefined || statement.name.startsWith('_')) return []
      return [{ name: statement.name, value: this.evaluate(statement.value, scope, new Map()) }]
    })
  }

  #call(expression: Extract<Expression, { kind: 'call' }>, scope: Scope, locals: Locals): Value {
    const { target, positional, keywords } = expression
    const [first] = positional
    const meaning = this.#modules.resolve(target, scope)
    if (meaning?.kind === 'external' && first !== undefined && positional.length === 1 && keywords.length === 0) {
      if (['builtins.list', 'builtins.tuple', 'builtins.set', 'builtins.sorted'].includes(meaning.name)) {
        const items = this.#iterate(first, scope, locals)
        return meaning.name === 'builtins.sorted' ? items.toSorted(compareValues) : items
      }
    }
    const args = positional.map((item) => this.evaluate(item, scope, locals))
    if (keywords.length > 0) throw new Unknowable()
    if (meaning?.kind === 'external') return callBuiltin(meaning.name, args)
    if (target.kind === 'attribute' && meaning === undefined) {
      return callMethod(this.evaluate(target.object, scope, locals), target.name, args)
    }
    throw new Unknowable()
  }
}

function isSelfReference(meaning: Extract<Meaning, { kind: 'value' }>, expression: Expression, scope: Scope): boolean {
  return meaning.scope.module === scope.module && meaning.syntax.value === expression
}

function enumAttribute(value: Value, name: string): Value {
  if (!isEnumMember(value)) throw new Unknowable()
  if (name === 'value') return value.value
  if (name === 'name') return value.name
  throw new Unknowable()
}

function callBuiltin(name: string, args: readonly Value[]): Value {
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
  if (!(length <= MAX_STEPS)) throw new Unknowable()
  return Array.from({ length }, (_, index) => start + index * step)
}

function callMethod(object: Value, name: string, args: readonly Value[]): Value {
  if (isDict(object) && args.length === 0) {
    if (name === 'keys') return object.entries.map(([key]) => key)
    if (name === 'values') return object.entries.map(([, value]) => value)
    if (name === 'items') return object.entries.map(([key, value]) => [key, value])
    if (name === 'copy') return object
  }
  if (typeof object === 'string') {
    const [first] = args
    if (name === 'split' && args.length === 0) return object.trim().split(/\s+/)
    if (name === 'split' && args.length === 1 && typeof first === 'string' && first !== '') return object.split(first)
    if (name === 'lower' && args.length === 0) return object.toLowerCase()
    if (name === 'upper' && args.length === 0) return object.toUpperCase()
    if (name === 'strip' && args.length === 0) return object.trim()
    if (name === 'join' && first !== undefined) return asList(first).map(pythonText).join(object)
  }
  throw new Unknowable()
}

function unary(operator: string, value: Value): Value {
  if (operator === '-' && typeof value === 'number') return -value
  if (operator === '+' && typeof value === 'number') return value
  throw new Unknowable()
}

function binary(operator: string, left: Value, right: Value): Value {
  if (typeof left === 'number' && typeof right === 'number') return arithmetic(operator, left, right)
  if (operator === '+' && typeof left === 'string' && typeof right === 'string') return left + right
  if (operator === '+' && Array.isArray(left) && Array.isArray(right)) return [...asList(left), ...asList(right)]
  if (operator === '|' && isDict(left) && isDict(right)) return makeDict([...left.entries, ...right.entries])
  if (operator === '*' && Array.isArray(left) && Number.isInteger(right) && Number(right) * left.length <= MAX_STEPS) {
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

function subscript(object: Value, items: readonly Value[]): Value {
  const [key] = items
  if (items.length !== 1 || key === undefined) throw new Unknowable()
  if (isDict(object)) {
    const found = object.entries.find(([name]) => name === key)
    if (found !== undefined) return found[1]
  }
  if (Array.isArray(object) && typeof key === 'number') {
    const found = asList(object).at(key)
    if (found !== undefined) return found
  }
  throw new Unknowable()
}

function makeDict(entries: readonly (readonly [Value, Value])[]): PythonDict {
  // A later entry takes the value, the first one keeps the place.
  const byKey = new Map<Value, Value>()
  for (const [key, value] of entries) byKey.set(key, value)
  return { entries: [...byKey] }
}

function asList(value: Value): readonly Value[] {
  if (Array.isArray(value)) return value as readonly Value[]
  if (isDict(value)) return value.entries.map(([key]) => key)
  throw new Unknowable()
}

function asDict(value: Value): PythonDict {
  if (isDict(value)) return value
  throw new Unknowable()
}

/** Tells a dict from the other values. */
export function isDict(value: Value): value is PythonDict {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && 'entries' in value
}

function holdsUnknown(value: Value): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value)) return (value as readonly Value[]).some(holdsUnknown)
  if (isDict(value)) return value.entries.some(([key, member]) => holdsUnknown(key) || holdsUnknown(member))
  return isEnumMember(value) ? holdsUnknown(value.value) : true
}

function isEnumMember(value: Value): value is EnumMember {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && 'name' in value
}

function compareValues(a: Value, b: Value): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0
  throw new Unknowable()
}

function pythonText(value: Value): string {
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
