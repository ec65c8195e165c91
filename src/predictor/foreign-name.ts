import type { Modules, Scope } from './modules.ts'
import type { Expression } from './syntax.ts'

/** A name that no file of the project defines. */
export interface ForeignName {
  /** As written, such as `LANGUAGES`. */
  readonly name: string
  /** Where Python would get it from, such as `whisper.tokenizer`. */
  readonly module: string
}

const MAX_HOPS = 20

/** The first name of an expression, or of the constants in it, that comes from outside the project. */
export function foreignName(expression: Expression, scope: Scope, modules: Modules, hops = 0): ForeignName | undefined {
  if (hops > MAX_HOPS) return undefined
  // `LANGUAGES.keys` is a method of what came from there.
  const owner = expression.kind === 'attribute' ? foreignName(expression.object, scope, modules, hops + 1) : undefined
  if (owner !== undefined) return owner
  if (expression.kind === 'name' || expression.kind === 'attribute') {
    const meaning = modules.resolve(expression, scope)
    if (meaning?.kind === 'external') return fromName(expression.text, meaning.name)
    if (meaning?.kind === 'value' && meaning.syntax.value !== undefined)
      return foreignName(meaning.syntax.value, meaning.scope, modules, hops + 1)
  }
  for (const part of partsOf(expression)) {
    const found = foreignName(part, scope, modules, hops + 1)
    if (found !== undefined) return found
  }
  return undefined
}

function fromName(text: string, name: string): ForeignName | undefined {
  const module = name.slice(0, Math.max(0, name.lastIndexOf('.')))
  return module === '' || module === 'builtins' ? undefined : { name: text, module }
}

function partsOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'attribute':
      return [expression.object]
    case 'format':
      return expression.parts
    case 'list':
    case 'tuple':
    case 'set':
      return expression.items
    case 'dict':
      return expression.entries.flatMap(([key, value]) => (key === undefined ? [value] : [key, value]))
    case 'call':
      return [expression.target, ...expression.positional, ...expression.keywords.map(({ value }) => value)]
    case 'subscript':
      return [expression.value, ...expression.items]
    case 'binary':
    case 'test':
      return [expression.left, expression.right]
    case 'unary':
      return [expression.operand]
    case 'conditional':
      return [expression.test, expression.consequence, expression.alternative]
    case 'splat':
      return [expression.value]
    case 'comprehension':
      return [expression.source, expression.body, ...expression.conditions]
    case 'name':
    case 'string':
    case 'number':
    case 'constant':
    case 'ellipsis':
    case 'other':
      return []
  }
}
