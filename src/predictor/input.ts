import type { DiagnosticCode } from '../core/diagnostic-codes.ts'
import { nearest } from '../core/suggest.ts'
import { bindArguments, evaluate, isPlainFunction, type Locals } from './evaluate.ts'
import { foreignName } from './foreign-name.ts'
import { asList, isDict, toJson } from './values.ts'
import type { Modules, Scope } from './modules.ts'
import type { Problems } from './problems.ts'
import type { Expression, ExpressionOf, Parameter, Place } from './syntax.ts'
import type { ValueType } from './value-type.ts'

/** One input of a predictor. */
export interface InputDescription {
  readonly name: string
  readonly type: ValueType
  /** Set when the input may be left out; `null` is a value too. */
  readonly default?: { readonly value: unknown }
  readonly required: boolean
  readonly description?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly choices?: readonly (string | number | boolean)[]
  readonly deprecated?: boolean
  readonly accept?: string
}

/** Reads the default of a parameter, or the `Input(...)` that stands in its place. */
export function readInput(
  parameter: Parameter,
  type: ValueType,
  scope: Scope,
  modules: Modules,
  problems: Problems,
): InputDescription {
  return new InputReader(parameter, type, scope, modules, problems).read()
}

/** The arguments of an `Input(...)`; they belong to the file that it is written in. */
interface Options {
  readonly values: ReadonlyMap<string, Expression>
  readonly scope: Scope
  /** Of the function that it is written in. */
  readonly locals: Locals
}

/** An `Input(...)`, where it is written. */
interface InputCall {
  readonly call: ExpressionOf<'call'>
  readonly scope: Scope
  readonly locals: Locals
}

const NO_LOCALS: Locals = new Map()

class InputReader {
  readonly #parameter: Parameter
  readonly #type: ValueType
  readonly #modules: Modules
  readonly #problems: Problems
  readonly #options: Options
  readonly #hasCall: boolean

  constructor(parameter: Parameter, type: ValueType, scope: Scope, modules: Modules, problems: Problems) {
    this.#parameter = parameter
    this.#type = type
    this.#modules = modules
    this.#problems = problems
    const found = this.#inputCall(parameter.value, scope)
    this.#hasCall = found !== undefined
    this.#options = found === undefined ? { values: new Map(), scope, locals: NO_LOCALS } : this.#readOptions(found)
  }

  read(): InputDescription {
    const type = this.#type
    const literal = plainType(type)
    const choices = this.#choices() ?? (literal.kind === 'literal' ? literal.values : undefined)
    const written = this.#hasCall ? this.#options.values.get('default') : this.#parameter.value
    const fallback = this.#default(written, choices)
    const limits = this.#limits()
    const description = this.#text('description')
    const accept = this.#text('accept')
    const deprecated = this.#option('deprecated')
    const isNullable = isNullableInput(type, fallback)
    return {
      name: this.#parameter.name,
      type: isNullable && type.kind !== 'nullable' ? { kind: 'nullable', of: type } : type,
      ...(fallback === undefined ? {} : { default: fallback }),
      required: fallback === undefined && type.kind !== 'nullable',
      ...(description === undefined ? {} : { description }),
      ...limits,
      ...(choices === undefined ? {} : { choices }),
      ...(deprecated === true ? { deprecated } : {}),
      ...(accept === undefined ? {} : { accept }),
    }
  }

  /** The `Input(...)` behind a default, also when a constant holds it or a function makes it. */
  #inputCall(value: Expression | undefined, scope: Scope, locals: Locals = NO_LOCALS, hops = 0): InputCall | undefined {
    if (value === undefined || hops > 10) return undefined
    if (value.kind === 'call') {
      const target = this.#modules.resolve(value.target, scope)
      if (target?.kind === 'external') return target.name === 'cog.Input' ? { call: value, scope, locals } : undefined
      if (target?.kind !== 'function' || !isPlainFunction(target)) return undefined
      const bound = bindArguments(value, scope, target, this.#modules, locals)
      return bound === undefined ? undefined : this.#inputCall(target.syntax.result, target.scope, bound, hops + 1)
    }
    if (value.kind !== 'name' && value.kind !== 'attribute') return undefined
    const meaning = this.#modules.resolve(value, scope)
    return meaning?.kind === 'value'
      ? this.#inputCall(meaning.syntax.value, meaning.scope, NO_LOCALS, hops + 1)
      : undefined
  }

  #readOptions({ call, scope, locals }: InputCall): Options {
    const options = new Map<string, Expression>()
    const [first, ...others] = call.positional
    if (first !== undefined && first.kind !== 'ellipsis') options.set('default', first)
    for (const extra of others)
      this.#report(scope, 'invalid-input', '`Input()` takes its arguments by name', extra.place)
    for (const { name, value, place } of call.keywords) {
      if (name === undefined)
        this.#report(scope, 'invalid-input', 'The arguments of `Input()` must be written out', place)
      else if (name === 'default_factory') {
        this.#report(
          scope,
          'invalid-input',
          `\`default_factory\` of \`${this.#parameter.name}\` cannot be known without running it`,
          place,
          {
            hint: 'Use `default` with a literal, or None and make the value in the function.',
          },
        )
      } else if (INPUT_OPTIONS.includes(name)) options.set(name, value)
      else
        this.#report(scope, 'invalid-input', `\`Input()\` has no argument \`${name}\``, place, {
          suggestion: nearest(name, INPUT_OPTIONS),
        })
    }
    if (options.get('default')?.kind === 'ellipsis') options.delete('default')
    return { values: options, scope, locals }
  }

  #evaluate(expression: Expression): ReturnType<typeof evaluate> {
    return evaluate(expression, this.#options.scope, this.#modules, this.#options.locals)
  }

  /** What to do, after what stands in the way where that is known. */
  #unknownHint(expression: Expression, advice: string): string {
    const foreign = foreignName(expression, this.#options.scope, this.#modules)
    if (foreign === undefined) return advice
    return `\`${foreign.name}\` comes from \`${foreign.module}\`, which is no file of this project. ${advice}`
  }

  #choices(): readonly (string | number | boolean)[] | undefined {
    const expression = this.#options.values.get('choices')
    if (expression === undefined || (expression.kind === 'constant' && expression.value === null)) return undefined
    const found = this.#evaluate(expression)
    // A dict stands for its keys, as wherever Python goes through one.
    const list = found !== undefined && isDict(found.value) ? asList(found.value) : found?.value
    const values = list === undefined ? undefined : toJson(list)
    if (!Array.isArray(values)) {
      this.#error(
        'unknown-choices',
        `The choices of \`${this.#parameter.name}\` cannot be known without running the code`,
        expression.place,
        {
          hint: this.#unknownHint(expression, 'Use a list of literals, or a constant that is one.'),
        },
      )
      return undefined
    }
    const base = itemType(plainType(this.#type))
    if (!['string', 'integer', 'number', 'boolean', 'any'].includes(base.kind)) {
      this.#error(
        'invalid-constraint',
        `\`choices\` has no meaning for \`${this.#parameter.annotation?.text ?? ''}\``,
        expression.place,
      )
      return undefined
    }
    const wrong = values.find((value: unknown) => !fits(value, base))
    if (values.length === 0)
      this.#error('invalid-constraint', `The choices of \`${this.#parameter.name}\` are empty`, expression.place)
    else if (wrong !== undefined) {
      this.#warn(
        'invalid-constraint',
        `The choice ${JSON.stringify(wrong)} of \`${this.#parameter.name}\` is not of its type`,
        expression.place,
      )
    }
    return values as readonly (string | number | boolean)[]
  }

  #default(
    expression: Expression | undefined,
    choices: readonly unknown[] | undefined,
  ): { readonly value: unknown } | undefined {
    if (expression === undefined) return undefined
    const found = this.#evaluate(expression)
    if (found === undefined) {
      const message = `The default of \`${this.#parameter.name}\` cannot be known without running the code`
      const advice =
        'Use a literal or a constant of this project; or None with Optional[T], and make the value in the function.'
      const hint = this.#unknownHint(expression, advice)
      // Cog requires the input when such a default is written in `Input()`, and refuses any other.
      if (this.#hasCall) this.#warn('unknown-default', `${message}, so it is required`, expression.place, { hint })
      else this.#error('unknown-default', message, expression.place, { hint })
      return undefined
    }
    const value = toJson(found.value)
    if (value === null) return this.#noneDefault(expression)
    const base = plainType(this.#type)
    if (!fits(value, base)) {
      this.#warn(
        'invalid-default',
        `The default of \`${this.#parameter.name}\` is not of its type: \`${expression.text}\``,
        expression.place,
      )
    } else if (choices !== undefined && ![value].flat().every((item) => choices.includes(item))) {
      this.#warn(
        'invalid-default',
        `The default of \`${this.#parameter.name}\` is none of its choices: \`${expression.text}\``,
        expression.place,
      )
    }
    return { value }
  }

  /** None is a value of optional types, of Any, and (a wide-spread way to write it) of Secret; of others it is no default. */
  #noneDefault(expression: Expression): { readonly value: null } | undefined {
    const type = this.#type
    if (type.kind === 'nullable' || type.kind === 'any' || type.kind === 'secret' || type.kind === 'none')
      return { value: null }
    this.#warn(
      'none-default',
      `None is no value of \`${this.#parameter.annotation?.text ?? ''}\`, so \`${this.#parameter.name}\` is required`,
      expression.place,
      {
        hint: `Write \`Optional[${this.#parameter.annotation?.text ?? 'T'}]\` to make it optional.`,
      },
    )
    return undefined
  }

  #limits(): Pick<InputDescription, 'minimum' | 'maximum' | 'minLength' | 'maxLength' | 'pattern'> {
    const base = itemType(plainType(this.#type)).kind
    const limits: Record<string, number | string> = {}
    for (const [option, { key, kinds, isWanted }] of Object.entries(LIMITS)) {
      const value = this.#option(option)
      const expression = this.#options.values.get(option)
      if (value === undefined || value === null || expression === undefined) continue
      if (!kinds.includes(base)) {
        const message = `\`${option}\` has no meaning for \`${this.#parameter.annotation?.text ?? ''}\``
        // Of a union Cog refuses it, too; of all else it says nothing that a value could break.
        if (base === 'union') this.#error('invalid-constraint', message, expression.place)
        else this.#warn('invalid-constraint', message, expression.place)
      } else if (!isWanted(value)) {
        this.#error(
          'invalid-constraint',
          `\`${option}\` of \`${this.#parameter.name}\` cannot be \`${expression.text}\``,
          expression.place,
        )
      } else limits[key] = value as number | string
    }
    return limits
  }

  #option(option: string): unknown {
    const expression = this.#options.values.get(option)
    if (expression === undefined) return undefined
    const found = this.#evaluate(expression)
    if (found !== undefined) return toJson(found.value)
    this.#warn(
      'unknown-value',
      `\`${option}\` of \`${this.#parameter.name}\` cannot be known without running the code, so it is left out`,
      expression.place,
      {
        hint: 'Use a literal or a constant of this project.',
      },
    )
    return undefined
  }

  #text(option: 'description' | 'accept'): string | undefined {
    const value = this.#option(option)
    if (value === undefined || value === null) return undefined
    if (typeof value === 'string') return value
    const expression = this.#options.values.get(option)
    if (expression !== undefined)
      this.#error('invalid-input', `\`${option}\` of \`${this.#parameter.name}\` must be text`, expression.place)
    return undefined
  }

  #error(code: DiagnosticCode, message: string, place: Place, details: Details = {}): void {
    this.#report(this.#options.scope, code, message, place, details)
  }

  /** What is odd, but no reason to refuse a project that Cog builds. */
  #warn(code: DiagnosticCode, message: string, place: Place, details: Details = {}): void {
    this.#problems.warn(code, message, this.#options.scope.module, place, details)
  }

  #report(scope: Scope, code: DiagnosticCode, message: string, place: Place, details: Details = {}): void {
    this.#problems.error(code, message, scope.module, place, details)
  }
}

interface Details {
  readonly hint?: string | undefined
  readonly suggestion?: string | undefined
}

const INPUT_OPTIONS = [
  'default',
  'description',
  'ge',
  'le',
  'min_length',
  'max_length',
  'regex',
  'choices',
  'deprecated',
  'accept',
]

interface Limit {
  readonly key: string
  readonly kinds: readonly ValueType['kind'][]
  readonly isWanted: (value: unknown) => boolean
}

const isLength = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 0
const LIMITS: Readonly<Record<string, Limit>> = {
  ge: { key: 'minimum', kinds: ['integer', 'number'], isWanted: (value) => typeof value === 'number' },
  le: { key: 'maximum', kinds: ['integer', 'number'], isWanted: (value) => typeof value === 'number' },
  min_length: { key: 'minLength', kinds: ['string', 'secret'], isWanted: isLength },
  max_length: { key: 'maxLength', kinds: ['string', 'secret'], isWanted: isLength },
  regex: { key: 'pattern', kinds: ['string', 'secret'], isWanted: (value) => typeof value === 'string' },
}

function plainType(type: ValueType): ValueType {
  return type.kind === 'nullable' ? type.of : type
}

function itemType(type: ValueType): ValueType {
  return type.kind === 'list' ? itemType(type.item) : type
}

function isNullableInput(type: ValueType, fallback: { readonly value: unknown } | undefined): boolean {
  return type.kind === 'nullable' || (fallback?.value === null && type.kind !== 'none')
}

/** Whether a JSON value may stand for a type; says yes where only the running code could tell. */
function fits(value: unknown, type: ValueType): boolean {
  switch (type.kind) {
    case 'string':
    case 'path':
    case 'file':
    case 'secret':
      return typeof value === 'string'
    case 'integer':
      return Number.isInteger(value)
    case 'number':
      return typeof value === 'number'
    case 'boolean':
      return typeof value === 'boolean'
    case 'list':
      return Array.isArray(value) && value.every((item) => fits(item, type.item))
    case 'dict':
      return isObject(value) && Object.values(value).every((item) => fits(item, type.value))
    case 'opaque':
    case 'object':
      return isObject(value) || Array.isArray(value)
    case 'literal':
      return type.values.includes(value as never)
    case 'union':
      return type.members.some((member) => fits(value, member))
    case 'nullable':
      return value === null || fits(value, type.of)
    case 'none':
      return value === null
    case 'any':
      return true
    case 'iterator':
      return false
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
