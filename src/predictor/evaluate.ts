import { callBuiltin } from './builtins.ts'
import { callMethod } from './methods.ts'
import type { Meaning, Modules, Scope } from './modules.ts'
import { binary, compare, isTrue, subscript, unary } from './operators.ts'
import type { Expression, ExpressionOf } from './syntax.ts'
import {
  asDict,
  asList,
  compareValues,
  holdsUnknown,
  isEnumMember,
  makeDict,
  pythonText,
  Unknowable,
  UNKNOWN,
  type EnumMember,
  type Value,
} from './values.ts'

const LISTS: ReadonlySet<string> = new Set(['builtins.list', 'builtins.tuple', 'builtins.set'])
const MAX_STEPS = 20_000
/** Constants that are made of constants: deeper than this is no signature's. */
const MAX_DEPTH = 400

/**
 * Works out an expression made of literals, names of constants, and the plain operations on them.
 *
 * @returns undefined when that is not possible
 */
export function evaluate(
  expression: Expression,
  scope: Scope,
  modules: Modules,
  locals: Locals = new Map(),
): { readonly value: Value } | undefined {
  try {
    const value = new Evaluator(modules).evaluate(expression, scope, locals)
    return holdsUnknown(value) ? undefined : { value }
  } catch (error) {
    if (error instanceof Unknowable) return undefined
    throw error
  }
}

/** Works out whether a test holds; undefined when that is not possible. */
export function decide(test: Expression, scope: Scope, modules: Modules): boolean | undefined {
  const found = evaluate(test, scope, modules)
  return found === undefined ? undefined : isTrue(found.value)
}

/**
 * What the parameters of a function are in a call of it; what cannot be known is so only when it is asked for.
 *
 * @returns undefined when the call does not fit
 */
export function bindArguments(
  call: ExpressionOf<'call'>,
  callScope: Scope,
  called: Extract<Meaning, { kind: 'function' }>,
  modules: Modules,
  locals: Locals = new Map(),
): Locals | undefined {
  const isClassMethod = called.syntax.decorators.some(({ text }) => text === 'classmethod')
  const parameters = isClassMethod ? called.syntax.parameters.slice(1) : called.syntax.parameters
  const isKnown = call.keywords.every(({ name }) => parameters.some((parameter) => parameter.name === name))
  if (!isKnown || call.positional.length > parameters.length) return undefined
  return new Map(
    parameters.map(({ name, value, kind }, index) => {
      const given = call.positional[index] ?? call.keywords.find((keyword) => keyword.name === name)?.value
      const found =
        kind !== 'normal' || given?.kind === 'splat'
          ? undefined
          : given !== undefined
            ? evaluate(given, callScope, modules, locals)
            : value && evaluate(value, called.scope, modules)
      return [name, found === undefined ? UNKNOWN : found.value]
    }),
  )
}

/** Whether a call of a function gives what its one `return` says. */
export function isPlainFunction({ syntax, scope }: Extract<Meaning, { kind: 'function' }>): boolean {
  const names = syntax.decorators.map(({ text }) => text)
  const isBound = scope.classes.length > 0 && names.length === 0
  const isPlain = names.every((name) => name === 'staticmethod' || name === 'classmethod')
  return syntax.result !== undefined && isPlain && !isBound && !syntax.isAsync && !syntax.isGenerator
}

/** Values of the names that a comprehension or function has of its own. */
export type Locals = ReadonlyMap<string, Value>

class Evaluator {
  readonly #modules: Modules
  #steps = 0
  #depth = 0

  constructor(modules: Modules) {
    this.#modules = modules
  }

  evaluate(expression: Expression, scope: Scope, locals: Locals): Value {
    if (++this.#steps > MAX_STEPS || this.#depth >= MAX_DEPTH) throw new Unknowable()
    this.#depth++
    try {
      return this.#evaluate(expression, scope, locals)
    } finally {
      this.#depth--
    }
  }

  #evaluate(expression: Expression, scope: Scope, locals: Locals): Value {
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
      case 'test':
        if (expression.operator === 'and' || expression.operator === 'or') {
          const left = again(expression.left)
          return isTrue(left) === (expression.operator === 'and') ? again(expression.right) : left
        }
        return compare(expression.operator, again(expression.left), again(expression.right))
      case 'conditional':
        return again(isTrue(again(expression.test)) ? expression.consequence : expression.alternative)
      case 'unary':
        return unary(expression.operator, again(expression.operand))
      case 'binary':
        return binary(expression.operator, again(expression.left), again(expression.right))
      case 'call':
        return this.#call(expression, scope, locals)
      case 'comprehension': {
        const source = this.#iterate(expression.source, scope, locals)
        return source.flatMap((item) => {
          const inner = new Map(locals).set(expression.variable, item)
          const isTaken = expression.conditions.every((condition) => isTrue(this.evaluate(condition, scope, inner)))
          return isTaken ? [this.evaluate(expression.body, scope, inner)] : []
        })
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
    if (expression.kind === 'name' && expression.name === '__name__') return '__not_main__'
    return this.#valueOf(this.#modules.resolve(expression, scope))
  }

  #valueOf(meaning: Meaning | undefined): Value {
    if (meaning?.kind !== 'value' || meaning.syntax.value === undefined || !meaning.isCertain) throw new Unknowable()
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
    const limit = object.kind === 'call' ? this.#integerLimit(object, name, scope) : undefined
    return limit ?? this.#named(expression, scope)
  }

  /** `np.iinfo(np.int32).max`, the usual limit of a seed. */
  #integerLimit({ target, positional }: ExpressionOf<'call'>, name: string, scope: Scope): number | undefined {
    const [type] = positional.map((argument) => this.#modules.resolve(argument, scope))
    const maker = this.#modules.resolve(target, scope)
    if (maker?.kind !== 'external' || maker.name !== 'numpy.iinfo' || type?.kind !== 'external') return undefined
    const [, sign, bits] = /^numpy\.(u?)int(8|16|32)$/.exec(type.name) ?? []
    if (bits === undefined) return undefined
    const count = 2 ** Number(bits)
    const limits: Record<string, number> =
      sign === 'u' ? { min: 0, max: count - 1 } : { min: -count / 2, max: count / 2 - 1 }
    return limits[name]
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
    if (meaning?.kind === 'external' && first !== undefined && positional.length === 1) {
      if (meaning.name === 'builtins.sorted') return this.#sorted(first, keywords, scope, locals)
      if (LISTS.has(meaning.name) && keywords.length === 0) return this.#iterate(first, scope, locals)
    }
    if (meaning?.kind === 'external' && meaning.name === 'builtins.getattr')
      return this.#getattr(positional, scope, locals)
    if (meaning?.kind === 'function') return this.#callFunction(expression, meaning, scope, locals)
    const args = positional.map((item) => this.evaluate(item, scope, locals))
    if (keywords.length > 0) throw new Unknowable()
    if (meaning?.kind === 'external') return callBuiltin(meaning.name, args)
    if (target.kind === 'attribute' && meaning === undefined) {
      return callMethod(this.evaluate(target.object, scope, locals), target.name, args)
    }
    throw new Unknowable()
  }

  #sorted(list: Expression, keywords: ExpressionOf<'call'>['keywords'], scope: Scope, locals: Locals): Value {
    const [reverse] = keywords
    if (keywords.length > 1 || (reverse !== undefined && reverse.name !== 'reverse')) throw new Unknowable()
    const isReversed = reverse !== undefined && isTrue(this.evaluate(reverse.value, scope, locals))
    const direction = isReversed ? -1 : 1
    return this.#iterate(list, scope, locals).toSorted((a, b) => direction * compareValues(a, b))
  }

  /** A function of the project that is one `return`. */
  #callFunction(
    call: ExpressionOf<'call'>,
    called: Extract<Meaning, { kind: 'function' }>,
    scope: Scope,
    locals: Locals,
  ): Value {
    const { result } = called.syntax
    const bound = isPlainFunction(called) ? bindArguments(call, scope, called, this.#modules, locals) : undefined
    if (result === undefined || bound === undefined) throw new Unknowable()
    return this.evaluate(result, called.scope, bound)
  }

  /** `getattr(config, "NAME", otherwise)` of a module or class of the project. */
  #getattr(positional: readonly Expression[], scope: Scope, locals: Locals): Value {
    const [object, name, otherwise] = positional
    const owner = object === undefined ? undefined : this.#modules.resolve(object, scope)
    const attribute = name === undefined ? undefined : this.evaluate(name, scope, locals)
    if (owner === undefined || owner.kind === 'external' || typeof attribute !== 'string') throw new Unknowable()
    const meaning = this.#modules.member(owner, attribute)
    if (meaning === undefined && otherwise !== undefined && owner.kind === 'module') {
      // A star import of something outside the project may bring anything.
      if (owner.module.statements.some((statement) => statement.kind === 'from' && statement.name === '*'))
        throw new Unknowable()
      return this.evaluate(otherwise, scope, locals)
    }
    return this.#valueOf(meaning)
  }
}

function enumAttribute(value: Value, name: string): Value {
  if (!isEnumMember(value)) throw new Unknowable()
  if (name === 'value') return value.value
  if (name === 'name') return value.name
  throw new Unknowable()
}
