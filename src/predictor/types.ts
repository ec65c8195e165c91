import type { DiagnosticCode } from '../core/diagnostic-codes.ts'
import { evaluate } from './evaluate.ts'
import { toJson } from './values.ts'
import type { Meaning, Modules, Scope } from './modules.ts'
import type { Problems } from './problems.ts'
import type { Expression, Statement } from './syntax.ts'
import {
  CONCATENATE_ITERATORS,
  DICTS,
  FIELD_FUNCTIONS,
  HINTS,
  ITERATORS,
  LISTS,
  SIMPLE_TYPES,
  SUBCLASSES,
  SUPPORTED,
} from './type-names.ts'
import { union, type ObjectField, type ObjectForm, type ValueType } from './value-type.ts'

/** Annotations that are read for one predictor, those that aliases and classes lead to included. */
const MAX_STEPS = 20_000

/** Reads annotations; reports what it cannot read and goes on with `any`. */
export class TypeReader {
  readonly #modules: Modules
  readonly #problems: Problems
  /** Classes whose fields are being read, to stop at a class that holds itself. */
  readonly #open = new Set<unknown>()
  #steps = 0

  constructor(modules: Modules, problems: Problems) {
    this.#modules = modules
    this.#problems = problems
  }

  read(annotation: Expression, scope: Scope, depth = 0): ValueType {
    // Aliases that name others twice grow twofold with each; the first type beyond the budget is reported.
    if (this.#steps > MAX_STEPS) return { kind: 'any' }
    this.#steps += 1 + (annotation.kind === 'string' ? annotation.text.length >> 8 : 0)
    if (depth > 50 || this.#steps > MAX_STEPS)
      return this.#refuse(
        'unsupported-type',
        `This type is too large, or nested too deeply: \`${short(annotation)}\``,
        annotation,
        scope,
      )
    switch (annotation.kind) {
      case 'string': {
        const inner = this.#modules.parseExpression(annotation.value.trim())
        // The quoted text stands where the quotes stand.
        return inner === undefined
          ? this.#unsupported(annotation, scope)
          : this.read(relocate(inner, annotation), scope, depth + 1)
      }
      case 'constant':
        return annotation.value === null ? { kind: 'none' } : this.#unsupported(annotation, scope)
      case 'binary':
        if (annotation.operator !== '|') return this.#unsupported(annotation, scope)
        return union([this.read(annotation.left, scope, depth + 1), this.read(annotation.right, scope, depth + 1)])
      case 'name':
      case 'attribute':
        return this.#named(annotation, scope, depth)
      case 'subscript':
        return this.#generic(annotation, scope, depth)
      default:
        return this.#unsupported(annotation, scope)
    }
  }

  #named(annotation: Expression, scope: Scope, depth: number): ValueType {
    const meaning = this.#modules.resolve(annotation, scope)
    switch (meaning?.kind) {
      case 'external':
        return this.#external(meaning.name, annotation, scope)
      case 'class':
        return this.#class(meaning, annotation, scope, depth)
      case 'value': {
        const { value } = meaning.syntax
        if (value === undefined) return this.#unsupported(annotation, scope)
        // `UserId = NewType('UserId', int)`
        const made = value.kind === 'call' ? this.#modules.resolve(value.target, meaning.scope) : undefined
        const base = value.kind === 'call' ? value.positional[1] : undefined
        if (made?.kind === 'external' && made.name === 'typing.NewType' && base !== undefined)
          return this.read(base, meaning.scope, depth + 1)
        return this.read(value, meaning.scope, depth + 1)
      }
      default:
        return this.#refuse(
          'unknown-type',
          `The type \`${short(annotation)}\` is not defined in this project`,
          annotation,
          scope,
          {
            hint: `Import it, or define it in the same file. ${SUPPORTED}`,
          },
        )
    }
  }

  #external(name: string, annotation: Expression, scope: Scope): ValueType {
    const simple = SIMPLE_TYPES[name]
    if (simple !== undefined) return simple
    if (ITERATORS.has(name)) return { kind: 'iterator', item: { kind: 'any' }, concatenate: false }
    if (CONCATENATE_ITERATORS.has(name)) return { kind: 'iterator', item: { kind: 'string' }, concatenate: true }
    const from = name.startsWith('builtins.') ? '' : ` of \`${name.slice(0, name.lastIndexOf('.'))}\``
    const type = name.slice(name.lastIndexOf('.') + 1)
    return this.#refuse('unsupported-type', `The type \`${type}\`${from} has no JSON form`, annotation, scope, {
      hint: HINTS[name] ?? `${SUPPORTED} A \`.pyi\` stub beside the file can describe it as a model.`,
    })
  }

  #generic(annotation: Extract<Expression, { kind: 'subscript' }>, scope: Scope, depth: number): ValueType {
    const meaning = this.#modules.resolve(annotation.value, scope)
    const { items } = annotation
    const [first, second] = items
    const name = meaning?.kind === 'external' ? meaning.name : undefined
    const inner = (expression: Expression): ValueType => this.read(expression, scope, depth + 1)
    if (name === undefined || first === undefined)
      return meaning?.kind === 'class'
        ? this.#class(meaning, annotation, scope, depth)
        : this.#unsupported(annotation, scope)
    if (LISTS.has(name) && items.length === 1) return { kind: 'list', item: inner(first) }
    if (DICTS.has(name) && items.length === 2 && second !== undefined) return { kind: 'dict', value: inner(second) }
    if (ITERATORS.has(name)) return { kind: 'iterator', item: inner(first), concatenate: false }
    if (CONCATENATE_ITERATORS.has(name)) return this.#concatenate(inner(first), first, scope)
    switch (name) {
      case 'typing.Optional':
        return union([inner(first), { kind: 'none' }])
      case 'typing.Union':
        return union(items.map(inner))
      case 'typing.Literal':
        return this.#literal(items, scope)
      case 'typing.Annotated':
        return this.#annotated(items, scope, depth)
      case 'typing.Required':
      case 'typing.NotRequired':
      case 'typing.ReadOnly':
      case 'typing.Final':
      case 'typing.ClassVar':
        return inner(first)
      default:
        return this.#unsupported(annotation, scope)
    }
  }

  #concatenate(item: ValueType, annotation: Expression, scope: Scope): ValueType {
    if (item.kind !== 'string') {
      return this.#refuse(
        'unsupported-type',
        `A ConcatenateIterator yields text, not \`${short(annotation)}\``,
        annotation,
        scope,
        {
          hint: 'Use Iterator for other values.',
        },
      )
    }
    return { kind: 'iterator', item, concatenate: true }
  }

  #literal(items: readonly Expression[], scope: Scope): ValueType {
    const values: (string | number | boolean)[] = []
    let hasNone = false
    for (const item of items) {
      const value = evaluate(item, scope, this.#modules)?.value
      const json = value === undefined ? undefined : toJson(value)
      if (json === null) hasNone = true
      else if (typeof json === 'string' || typeof json === 'number' || typeof json === 'boolean') values.push(json)
      else return this.#unsupported(item, scope)
    }
    return union([{ kind: 'literal', values }, ...(hasNone ? [{ kind: 'none' } as const] : [])])
  }

  /** `Annotated[T, Opaque]` is passed on as it comes; other metadata says nothing here. */
  #annotated(items: readonly Expression[], scope: Scope, depth: number): ValueType {
    const [type, ...metadata] = items
    if (type === undefined) return { kind: 'any' }
    const isOpaque = metadata.some((item) => {
      const meaning = this.#modules.resolve(item.kind === 'call' ? item.target : item, scope)
      return meaning?.kind === 'external' && meaning.name === 'cog.Opaque'
    })
    return isOpaque ? this.#opaque(type, scope) : this.read(type, scope, depth + 1)
  }

  /** Only the outermost list and None of an opaque type count. */
  #opaque(type: Expression, scope: Scope): ValueType {
    if (type.kind === 'binary' && type.operator === '|') {
      return union([this.#opaque(type.left, scope), this.#opaque(type.right, scope)])
    }
    if (type.kind === 'constant' && type.value === null) return { kind: 'none' }
    const head = type.kind === 'subscript' ? type.value : type
    const meaning = this.#modules.resolve(head, scope)
    const name = meaning?.kind === 'external' ? meaning.name : ''
    if (LISTS.has(name)) return { kind: 'list', item: { kind: 'opaque' } }
    if (type.kind === 'subscript' && name === 'typing.Optional' && type.items[0] !== undefined) {
      return union([this.#opaque(type.items[0], scope), { kind: 'none' }])
    }
    if (type.kind === 'subscript' && name === 'typing.Union') {
      return union(type.items.map((item) => this.#opaque(item, scope)))
    }
    return { kind: 'opaque' }
  }

  #class(meaning: Extract<Meaning, { kind: 'class' }>, annotation: Expression, scope: Scope, depth: number): ValueType {
    const bases = this.#modules.externalBases(meaning)
    const simple = bases.map((base) => SUBCLASSES[base]).find((type) => type !== undefined)
    if (simple !== undefined) return simple
    const form = this.#formOf(meaning, bases)
    if (form === undefined) {
      const isEnum = bases.some((base) => base.startsWith('enum.'))
      return this.#refuse(
        'unsupported-type',
        `The class \`${meaning.syntax.name}\` has no JSON form`,
        annotation,
        scope,
        {
          hint: isEnum
            ? 'Use `str` with `choices=[...]`, or `Literal[...]`.'
            : 'Derive it from BaseModel or TypedDict, or make it a dataclass.',
        },
      )
    }
    if (this.#open.has(meaning.syntax)) return { kind: 'opaque' }
    this.#open.add(meaning.syntax)
    const fields = this.#fields(meaning, form, depth)
    this.#open.delete(meaning.syntax)
    return { kind: 'object', name: meaning.syntax.name, form, fields }
  }

  #formOf(meaning: Extract<Meaning, { kind: 'class' }>, bases: readonly string[]): ObjectForm | undefined {
    if (bases.some((base) => base === 'cog.BaseModel' || base === 'pydantic.BaseModel')) return 'model'
    if (bases.includes('typing.TypedDict')) return 'typed-dict'
    const isDataclass = meaning.syntax.decorators.some((decorator) => {
      const target = this.#modules.resolve(decorator.kind === 'call' ? decorator.target : decorator, meaning.scope)
      return target?.kind === 'external' && /^(dataclasses|pydantic\.dataclasses)\.dataclass$/.test(target.name)
    })
    return isDataclass ? 'dataclass' : undefined
  }

  /** Fields of the bases first, each at the place where it was first named. */
  #fields(meaning: Extract<Meaning, { kind: 'class' }>, form: ObjectForm, depth: number): readonly ObjectField[] {
    const fields = new Map<string, ObjectField>()
    for (const { syntax, scope: outer } of this.#modules.ancestry(meaning).toReversed()) {
      const total = !syntax.keywords.some(
        ({ name, value }) => name === 'total' && value.kind === 'constant' && value.value === false,
      )
      const scope: Scope = { module: outer.module, classes: [syntax, ...outer.classes] }
      for (const statement of syntax.body) {
        const field = this.#field(statement, form, total, scope, depth)
        if (field !== undefined) fields.set(field.name, field)
      }
    }
    return [...fields.values()]
  }

  #field(statement: Statement, form: ObjectForm, total: boolean, scope: Scope, depth: number): ObjectField | undefined {
    if (statement.kind !== 'assign' || statement.annotation === undefined) return undefined
    const { name, annotation, value } = statement
    if (name.startsWith('_') || name === 'model_config') return undefined
    const head = annotation.kind === 'subscript' ? this.#modules.resolve(annotation.value, scope) : undefined
    const qualifier = head?.kind === 'external' ? head.name : ''
    if (qualifier === 'typing.ClassVar') return undefined
    const type = this.read(annotation, scope, depth + 1)
    const { hasDefault, description } = this.#fieldDefault(value, scope)
    const required =
      qualifier === 'typing.Required' ||
      (qualifier !== 'typing.NotRequired' &&
        total &&
        !hasDefault &&
        (type.kind !== 'nullable' || form === 'typed-dict'))
    return { name, type, required, ...(description === undefined ? {} : { description }) }
  }

  /** `= 3`, `= Field(3)`, `= Field(default_factory=list)` have a default; `= Field(...)` has none. */
  #fieldDefault(value: Expression | undefined, scope: Scope): { hasDefault: boolean; description?: string } {
    if (value === undefined || value.kind === 'ellipsis') return { hasDefault: false }
    const target = value.kind === 'call' ? this.#modules.resolve(value.target, scope) : undefined
    if (value.kind !== 'call' || target?.kind !== 'external' || !FIELD_FUNCTIONS.has(target.name))
      return { hasDefault: true }
    const keyword = (name: string): Expression | undefined =>
      value.keywords.find((keyword) => keyword.name === name)?.value
    const given = value.positional[0] ?? keyword('default') ?? keyword('default_factory')
    const description = keyword('description')
    return {
      hasDefault: given !== undefined && given.kind !== 'ellipsis',
      ...(description?.kind === 'string' ? { description: description.value } : {}),
    }
  }

  #unsupported(annotation: Expression, scope: Scope): ValueType {
    return this.#refuse('unsupported-type', `This type has no JSON form: \`${short(annotation)}\``, annotation, scope, {
      hint: SUPPORTED,
    })
  }

  #refuse(
    code: DiagnosticCode,
    message: string,
    annotation: Expression,
    scope: Scope,
    details: { readonly hint?: string } = {},
  ): ValueType {
    this.#problems.error(code, message, scope.module, annotation.place, details)
    return { kind: 'any' }
  }
}

/** Gives the parts of a quoted annotation the place of the quotes. */
function relocate(expression: Expression, at: Expression): Expression {
  return JSON.parse(JSON.stringify(expression), (key, value: unknown) =>
    key === 'place' ? at.place : value,
  ) as Expression
}

function short(expression: Expression): string {
  const text = expression.text.replaceAll(/\s+/g, ' ')
  return text.length > 60 ? `${text.slice(0, 60)}...` : text
}
