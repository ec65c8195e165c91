import { dirname, join } from 'node:path/posix'
import { methodOrder } from './method-order.ts'
import type { PythonParser } from './parse.ts'
import type { SourceFile } from './problems.ts'
import type { AssignSyntax, ClassSyntax, Expression, Fault, FunctionSyntax, Statement } from './syntax.ts'

/** Gives the text of a file of the project by its path relative to the project (with `/`), or undefined. */
export type ReadFile = (path: string) => string | undefined

/** A Python file of the project. */
export interface Module extends SourceFile {
  readonly statements: readonly Statement[]
  readonly errors: readonly Fault[]
}

/** Where a name is looked up: the class bodies around it, innermost first, then the module. */
export interface Scope {
  readonly module: Module
  readonly classes: readonly ClassSyntax[]
  /** The statement that is being run: what its block binds later is not there yet. */
  readonly before?: Statement | undefined
}

/** Works out whether a test holds; undefined when only Python can tell. */
export type Decide = (test: Expression, scope: Scope, modules: Modules) => boolean | undefined

/** What a name stands for. */
export type Meaning =
  /** Something that no file of the project defines, by its full name, such as `typing.Optional` or `builtins.str`. */
  | { readonly kind: 'external'; readonly name: string }
  | { readonly kind: 'module'; readonly module: Module }
  | { readonly kind: 'class'; readonly syntax: ClassSyntax; readonly scope: Scope }
  | { readonly kind: 'function'; readonly syntax: FunctionSyntax; readonly scope: Scope }
  | {
      readonly kind: 'value'
      readonly syntax: AssignSyntax
      /** In which the value is worked out. */
      readonly scope: Scope
      /** False when another value may be in force, by a test that only Python can decide. */
      readonly isCertain: boolean
    }

/** A class of the project. */
export type ClassMeaning = Extract<Meaning, { kind: 'class' }>

/** What a name was set to. */
type ValueMeaning = Extract<Meaning, { kind: 'value' }>

/** A class that has one of these may give its objects anything. */
const MAKERS = ['__init__', '__new__', '__post_init__', '__getattr__', '__getattribute__']

const MAX_HOPS = 50

/** The Python files of a project, read when a name leads to them. */
export class Modules {
  readonly #readFile: ReadFile
  readonly #parser: PythonParser
  readonly #loaded = new Map<string, Module | undefined>()
  readonly #ancestries = new Map<ClassSyntax, readonly ClassMeaning[]>()
  /** Folders in which absolute imports are looked for. */
  readonly #roots: readonly string[]
  readonly #decide: Decide
  readonly #outcomes = new Map<Expression, boolean | undefined>()

  constructor(readFile: ReadFile, parser: PythonParser, roots: readonly string[], decide: Decide) {
    this.#readFile = readFile
    this.#parser = parser
    this.#roots = roots
    this.#decide = decide
  }

  /** A file of the project; undefined when there is none. */
  load(file: string): Module | undefined {
    if (this.#loaded.has(file)) return this.#loaded.get(file)
    const text = file.startsWith('../') ? undefined : this.#readFile(file)
    const module =
      text === undefined ? undefined : { file, lines: text.split(/\r?\n/), ...this.#parser.parseModule(text) }
    this.#loaded.set(file, module)
    return module
  }

  /** What a quoted annotation says. */
  parseExpression(text: string): Expression | undefined {
    return this.#parser.parseExpression(text)
  }

  /** What a name or dotted name stands for. */
  resolve(expression: Expression, scope: Scope, hops = 0): Meaning | undefined {
    if (hops > MAX_HOPS) return undefined
    if (expression.kind === 'name') return this.#lookup(expression.name, scope, hops)
    if (expression.kind !== 'attribute') return undefined
    const object = this.resolve(expression.object, scope, hops + 1)
    return object === undefined ? undefined : this.member(object, expression.name, hops)
  }

  /** An attribute of a module or class, or of a value that is `Name(...)` of a class which only holds attributes. */
  member(object: Meaning, name: string, hops = 0): Meaning | undefined {
    if (object.kind === 'external') return { kind: 'external', name: canonicalName(`${object.name}.${name}`) }
    if (object.kind === 'module')
      return (
        this.#lookup(name, { module: object.module, classes: [] }, hops + 1) ?? this.#submodule(object.module, name)
      )
    if (object.kind === 'value') return this.#instanceMember(object, name, hops + 1)
    if (object.kind !== 'class') return undefined
    for (const { syntax, scope } of this.ancestry(object, hops)) {
      const inner: Scope = { module: scope.module, classes: [syntax, ...scope.classes] }
      const binding = this.#binding(syntax.body, name, inner, hops)
      if (binding !== undefined) return this.#meaning(binding, inner, hops)
    }
    return undefined
  }

  /** `SHARED.prompt`, with `SHARED = Shared()`: as the call gives it, else as the class has it. */
  #instanceMember(object: ValueMeaning, name: string, hops: number): Meaning | undefined {
    const { syntax, scope, isCertain } = object
    if (hops > MAX_HOPS || syntax.value?.kind !== 'call') return undefined
    const { target, positional, keywords } = syntax.value
    const owner = this.resolve(target, scope, hops + 1)
    if (owner?.kind !== 'class' || positional.length > 0) return undefined
    if (MAKERS.some((maker) => this.member(owner, maker, hops) !== undefined)) return undefined
    if (keywords.some((keyword) => keyword.name === undefined)) return undefined
    const given = keywords.find((keyword) => keyword.name === name)
    const found: Meaning | undefined =
      given === undefined
        ? this.member(owner, name, hops)
        : { kind: 'value', syntax: { ...syntax, name, value: given.value }, scope, isCertain }
    return found?.kind === 'value' ? { ...found, isCertain: found.isCertain && isCertain } : found
  }

  /** A class of the project and its ancestors of the project, in the order in which Python looks through them. */
  ancestry(object: ClassMeaning, hops = 0): readonly ClassMeaning[] {
    const known = this.#ancestries.get(object.syntax)
    if (known !== undefined) return known
    // A class that derives from itself is its only ancestor.
    this.#ancestries.set(object.syntax, [object])
    const bases = this.bases(object, hops).filter((base) => base.kind === 'class')
    const canonical = (meaning: ClassMeaning): ClassMeaning =>
      this.#ancestries.get(meaning.syntax)?.find(({ syntax }) => syntax === meaning.syntax) ?? meaning
    const orders = bases.map((base) => this.ancestry(base, hops + 1))
    const order = methodOrder(object, orders, bases.map(canonical))
    this.#ancestries.set(object.syntax, order)
    return order
  }

  /** What the bases of a class stand for, in their order; unknown ones are left out. */
  bases(object: ClassMeaning, hops = 0): readonly Meaning[] {
    if (hops > MAX_HOPS) return []
    return object.syntax.bases.flatMap((base) => {
      const target = base.kind === 'subscript' ? base.value : base
      return this.resolve(target, object.scope, hops + 1) ?? []
    })
  }

  /** Full names of everything outside the project that a class derives from, directly or not. */
  externalBases(object: ClassMeaning): readonly string[] {
    const names = this.ancestry(object).flatMap((ancestor) =>
      this.bases(ancestor).flatMap((base) => (base.kind === 'external' ? [base.name] : [])),
    )
    return [...new Set(names)]
  }

  #lookup(name: string, scope: Scope, hops: number): Meaning | undefined {
    if (hops > MAX_HOPS) return undefined
    for (const [index, syntax] of scope.classes.entries()) {
      const inner: Scope = { ...scope, classes: scope.classes.slice(index) }
      const binding = this.#binding(syntax.body, name, inner, hops)
      if (binding !== undefined) return this.#meaning(binding, inner, hops)
    }
    const moduleScope: Scope = { module: scope.module, classes: [], before: scope.before }
    const binding = this.#binding(scope.module.statements, name, moduleScope, hops)
    if (binding !== undefined) return this.#meaning(binding, moduleScope, hops)
    return this.#starImport(name, moduleScope, hops) ?? builtin(name)
  }

  /** The binding that is in force at the end of a block, or where a statement of it is being run. */
  #binding(statements: readonly Statement[], name: string, scope: Scope, hops: number): Binding | undefined {
    let found: Binding | undefined
    for (const statement of statements) {
      if (statement === scope.before) break
      if (bindingName(statement) !== name || (isAssign(statement) && statement.value === undefined)) continue
      if (isAssign(statement) && statement.isChange === true && !isAssign(found?.statement)) continue
      const isRun = this.#isRun(statement, { ...scope, before: statement }, hops)
      if (isRun === false) continue
      if (isRun === true || found === undefined) found = { statement, isCertain: true }
      // Of functions, classes and imports the first is as good as any; values would differ.
      else if (isAssign(statement))
        found = { statement: statement.fallback ? found.statement : statement, isCertain: false }
      else if (!statement.fallback) found = { statement, isCertain: found.isCertain }
    }
    return found ?? this.#bareAnnotation(statements, name)
  }

  /** `x: int` alone: it binds nothing, but says what is meant. */
  #bareAnnotation(statements: readonly Statement[], name: string): Binding | undefined {
    const statement = statements.find(
      (statement) => isAssign(statement) && statement.name === name && statement.value === undefined,
    )
    return statement === undefined ? undefined : { statement, isCertain: true }
  }

  #isRun(statement: Statement, scope: Scope, hops: number): boolean | undefined {
    let isRun: boolean | undefined = true
    for (const { test, holds } of statement.guards) {
      const outcome = test === undefined || hops > MAX_HOPS ? undefined : this.#holds(test, scope)
      if (outcome === undefined) isRun = undefined
      else if (outcome !== holds) return false
    }
    return isRun
  }

  #holds(test: Expression, scope: Scope): boolean | undefined {
    if (this.#outcomes.has(test)) return this.#outcomes.get(test)
    // While it is being worked out it is unknown: modules may import each other.
    this.#outcomes.set(test, undefined)
    const outcome = this.#decide(test, scope, this)
    this.#outcomes.set(test, outcome)
    return outcome
  }

  #starImport(name: string, scope: Scope, hops: number): Meaning | undefined {
    for (const statement of scope.module.statements) {
      if (statement.kind !== 'from' || statement.name !== '*') continue
      const target = this.#importedModule(statement.level, statement.module, scope.module.file)
      if (target === undefined) {
        if (STAR_EXPORTS[statement.module]?.has(name) === true)
          return { kind: 'external', name: canonicalName(`${statement.module}.${name}`) }
        continue
      }
      const inner: Scope = { module: target, classes: [] }
      const found = this.#binding(target.statements, name, inner, hops + 1)
      if (found !== undefined) return this.#meaning(found, inner, hops + 1)
      const further = this.#starImport(name, { module: target, classes: [] }, hops + 1)
      if (further !== undefined) return further
    }
    return undefined
  }

  #meaning({ statement, isCertain }: Binding, scope: Scope, hops: number): Meaning | undefined {
    switch (statement.kind) {
      case 'class':
        return { kind: 'class', syntax: statement, scope }
      case 'function':
        return { kind: 'function', syntax: statement, scope }
      case 'import': {
        const path = statement.alias === undefined ? (statement.module.split('.')[0] ?? '') : statement.module
        const module = this.#importedModule(0, path, scope.module.file)
        return module === undefined ? { kind: 'external', name: canonicalName(path) } : { kind: 'module', module }
      }
      case 'from':
        return this.#fromMeaning(statement, scope, hops)
      case 'assign': {
        // `Alias = OtherName` means what the other name means.
        const { value } = statement
        const inner: Scope = { ...scope, before: statement }
        const isAlias = value?.kind === 'name' || value?.kind === 'attribute'
        const target = isAlias ? this.resolve(value, inner, hops + 1) : undefined
        if (target?.kind === 'value') return { ...target, isCertain: target.isCertain && isCertain }
        return target ?? { kind: 'value', syntax: statement, scope: inner, isCertain }
      }
    }
  }

  #fromMeaning(statement: Extract<Statement, { kind: 'from' }>, scope: Scope, hops: number): Meaning | undefined {
    const { level, module: path, name } = statement
    const module = this.#importedModule(level, path, scope.module.file)
    if (module !== undefined) {
      // A stub beside the module knows what the module itself does not say.
      const stub = this.load(module.file.replace(/\.py$/, '.pyi'))
      const found =
        this.#lookupOwn(name, module, hops) ??
        (stub === undefined || stub === module ? undefined : this.#lookupOwn(name, stub, hops))
      if (found !== undefined) return found
    }
    const submodule = this.#importedModule(level, path === '' ? name : `${path}.${name}`, scope.module.file)
    if (submodule !== undefined) return { kind: 'module', module: submodule }
    if (module !== undefined || level > 0) return undefined
    return { kind: 'external', name: canonicalName(`${path}.${name}`) }
  }

  #lookupOwn(name: string, module: Module, hops: number): Meaning | undefined {
    const scope: Scope = { module, classes: [] }
    const binding = this.#binding(module.statements, name, scope, hops + 1)
    if (binding === undefined) return this.#starImport(name, scope, hops + 1)
    return hops > MAX_HOPS ? undefined : this.#meaning(binding, scope, hops + 1)
  }

  #submodule(module: Module, name: string): Meaning | undefined {
    const found = this.#find(join(dirname(module.file), name))
    return found === undefined ? undefined : { kind: 'module', module: found }
  }

  #importedModule(level: number, path: string, from: string): Module | undefined {
    const relative = path.replaceAll('.', '/')
    if (level > 0) {
      let folder = dirname(from)
      for (let up = 1; up < level; up++) folder = join(folder, '..')
      return this.#find(join(folder, relative))
    }
    for (const root of this.#roots) {
      const found = this.#find(join(root, relative))
      if (found !== undefined) return found
    }
    return undefined
  }

  #find(path: string): Module | undefined {
    for (const ending of ['.py', '/__init__.py', '.pyi', '/__init__.pyi']) {
      const module = path === '.' && ending.startsWith('.') ? undefined : this.load(join(`${path}${ending}`))
      if (module !== undefined) return module
    }
    return undefined
  }
}

/** A statement that binds a name, and whether it is the one that does. */
interface Binding {
  readonly statement: Statement
  readonly isCertain: boolean
}

function isAssign(statement: Statement | undefined): statement is Extract<Statement, { kind: 'assign' }> {
  return statement?.kind === 'assign'
}

/** The name that a statement binds; `*` binds none that is known here. */
export function bindingName(statement: Statement): string | undefined {
  switch (statement.kind) {
    case 'from':
      return statement.alias === '*' ? undefined : statement.alias
    case 'import':
      return statement.alias ?? statement.module.split('.')[0]
    default:
      return statement.name
  }
}

const BUILTINS = new Set(
  'bool bytes bytearray complex dict float frozenset int list object set str tuple type range sorted len min max sum reversed enumerate zip map filter getattr'.split(
    ' ',
  ),
)

function builtin(name: string): Meaning | undefined {
  return BUILTINS.has(name) ? { kind: 'external', name: `builtins.${name}` } : undefined
}

const STAR_EXPORTS: Readonly<Record<string, ReadonlySet<string>>> = {
  cog: new Set(
    'BasePredictor BaseRunner BaseModel Input Path File Secret Opaque ConcatenateIterator AsyncConcatenateIterator Iterator AsyncIterator streaming concurrent'.split(
      ' ',
    ),
  ),
  typing: new Set(
    'Any Optional Union List Dict Tuple Set Literal Annotated Iterator AsyncIterator Iterable Generator AsyncGenerator TypedDict NamedTuple NewType Mapping Sequence ClassVar Final Required NotRequired ReadOnly AsyncIterable BinaryIO IO Text Deque DefaultDict FrozenSet Collection Generic TypeVar Protocol'.split(
      ' ',
    ),
  ),
}

/** One name for what several modules offer: `typing_extensions.X` and `collections.abc.X` are `typing.X`. */
function canonicalName(name: string): string {
  return name
    .replace(/^(typing_extensions|collections\.abc)\./, 'typing.')
    .replace(
      /^cog\.(types|base_predictor|base_input|model|input|predictor|coder|server\.\w+)\.(?=[A-Za-z]\w*$)/,
      'cog.',
    )
    .replace(/^pydantic\.(v1|main|fields)\./, 'pydantic.')
}
