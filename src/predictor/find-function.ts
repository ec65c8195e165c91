import { nearest } from '../core/suggest.ts'
import { bindingName, type Meaning, type Module, type Modules, type Scope } from './modules.ts'
import type { Problems } from './problems.ts'
import type { Expression, FunctionSyntax, Place } from './syntax.ts'

/** What is looked for in a file. */
export interface Target {
  /** Class or function. */
  readonly name: string
  /** Methods of a class, the first one found counts. */
  readonly methods: readonly string[]
  /** How many calls at once it must stand, whatever its decorators say. */
  readonly concurrency?: number | undefined
}

/** A function with the place that its names are looked up from. */
export interface FoundFunction {
  readonly syntax: FunctionSyntax
  readonly scope: Scope
  readonly isMethod: boolean
}

/** The function that a name of a file stands for, wherever it is defined; reports when there is none. */
export function findFunction(
  module: Module,
  target: Target,
  modules: Modules,
  problems: Problems,
): FoundFunction | undefined {
  const scope: Scope = { module, classes: [] }
  const name: Expression = { kind: 'name', name: target.name, text: target.name, place: FIRST }
  const meaning = modules.resolve(name, scope)
  if (meaning?.kind === 'function') return { syntax: meaning.syntax, scope: meaning.scope, isMethod: false }
  if (meaning?.kind === 'class') return findMethod(meaning, target, modules, problems)
  const names = module.statements.flatMap((statement) => bindingName(statement) ?? [])
  const defined = module.statements.filter((statement) => statement.kind === 'class' || statement.kind === 'function')
  problems.error(
    'predictor-missing',
    `There is no class or function \`${target.name}\` in ${module.file}`,
    module,
    FIRST,
    {
      suggestion: nearest(target.name, names),
      hint:
        defined.length === 0
          ? undefined
          : `It defines: ${defined.map((statement) => bindingName(statement)).join(', ')}.`,
    },
  )
  return undefined
}

function findMethod(
  meaning: Extract<Meaning, { kind: 'class' }>,
  target: Target,
  modules: Modules,
  problems: Problems,
): FoundFunction | undefined {
  for (const method of target.methods) {
    const found = asFunction(modules.member(meaning, method), method, problems) ?? asWritten(meaning, method, modules)
    if (found === undefined) continue
    const isStatic = found.syntax.decorators.some((decorator) => decorator.text === 'staticmethod')
    return { syntax: found.syntax, scope: found.scope, isMethod: !isStatic }
  }
  const { syntax, scope } = meaning
  problems.error(
    'method-missing',
    `The class \`${syntax.name}\` has no method ${target.methods.map((method) => `\`${method}\``).join(' or ')}`,
    scope.module,
    syntax.place,
    {
      suggestion: nearest(
        target.methods[0] ?? '',
        syntax.body.flatMap((statement) => bindingName(statement) ?? []),
      ),
    },
  )
  return undefined
}

type FunctionMeaning = Extract<Meaning, { kind: 'function' }>

function asFunction(meaning: Meaning | undefined, method: string, problems: Problems): FunctionMeaning | undefined {
  if (meaning?.kind === 'function') return meaning
  if (meaning?.kind !== 'value') return undefined
  problems.warn(
    'replaced-method',
    `\`${method}\` is replaced here by what only running the code tells, so the function is described`,
    meaning.scope.module,
    meaning.syntax.place,
    { hint: 'Inputs that the replacement adds or takes away are not seen.' },
  )
  return undefined
}

/** The `def` of a method that the class later puts something else in place of. */
function asWritten(
  meaning: Extract<Meaning, { kind: 'class' }>,
  method: string,
  modules: Modules,
): FunctionMeaning | undefined {
  for (const { syntax, scope } of modules.ancestry(meaning)) {
    const written = syntax.body.find((statement) => statement.kind === 'function' && statement.name === method)
    if (written?.kind === 'function')
      return { kind: 'function', syntax: written, scope: { module: scope.module, classes: [syntax, ...scope.classes] } }
  }
  return undefined
}

const FIRST: Place = { line: 1, column: 1, endColumn: 1 }
