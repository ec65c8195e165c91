import { readFile } from 'node:fs/promises'
import { Language, Parser, type Node } from 'web-tree-sitter'
import { findTooDeep } from './nesting.ts'
import { children, named, placeOf } from './nodes.ts'
import { readAssignment, readChange } from './read-assignment.ts'
import { readArguments, readExpression } from './read-expression.ts'
import type { Branch, Expression, FunctionSyntax, Guard, ModuleSyntax, Parameter, Place, Statement } from './syntax.ts'

/** Reads Python source; makes no difference between files and never runs anything. */
export interface PythonParser {
  parseModule(source: string): ModuleSyntax
  /** One expression, such as the text of a quoted annotation; undefined when it is none. */
  parseExpression(source: string): Expression | undefined
}

let parser: Promise<PythonParser> | undefined

/** The parser of this process; its grammar is loaded once. */
export function loadPythonParser(): Promise<PythonParser> {
  parser ??= makeParser()
  return parser
}

async function makeParser(): Promise<PythonParser> {
  await Parser.init()
  const grammar = await readFile(new URL('grammar/tree-sitter-python.wasm', import.meta.url))
  const parser = new Parser().setLanguage(await Language.load(grammar))
  const withTree = <T>(source: string, read: (root: Node) => T): T => {
    const tree = parser.parse(source)
    if (tree === null) throw new TypeError('The Python grammar is not set')
    try {
      return read(tree.rootNode)
    } finally {
      tree.delete()
    }
  }
  return {
    parseModule: (source) => {
      const tooDeep = findTooDeep(source)
      if (tooDeep !== undefined) return { statements: [], errors: [tooDeep] }
      return withTree(source, (root) => ({
        statements: readBlock(root, ALWAYS),
        errors: root.hasError ? findErrors(root) : [],
      }))
    },
    parseExpression: (source) => (findTooDeep(source) === undefined ? withTree(source, readOnlyExpression) : undefined),
  }
}

function readOnlyExpression(root: Node): Expression | undefined {
  const [statement, ...others] = named(root)
  if (root.hasError || others.length > 0 || statement?.type !== 'expression_statement') return undefined
  const [expression] = named(statement)
  return expression === undefined ? undefined : readExpression(expression)
}

/** More than a person will read at once. */
const MAX_ERRORS = 20

/** The innermost nodes that the grammar could not take, or that it had to make up; the first of them. */
function findErrors(root: Node): Place[] {
  const found: Place[] = []
  // A stack and no recursion: chains of operators are as deep as they are long.
  const stack = [root]
  for (let node = stack.pop(); node !== undefined && found.length < MAX_ERRORS; node = stack.pop()) {
    const below = node.isMissing ? [] : children(node).filter((child) => child.hasError || child.isMissing)
    if (below.length === 0 && (node.isMissing || node.isError)) found.push(placeOf(node))
    stack.push(...below.toReversed())
  }
  return found
}

const ALWAYS: Branch = { fallback: false, guards: [] }

function readBlock(block: Node, branch: Branch): Statement[] {
  return named(block).flatMap((node) => readStatement(node, branch))
}

function readStatement(node: Node, branch: Branch): Statement[] {
  switch (node.type) {
    case 'import_statement':
      return node.childrenForFieldName('name').flatMap((name) => (name === null ? [] : readImport(name, branch)))
    case 'import_from_statement':
    case 'future_import_statement':
      return readFrom(node, branch)
    case 'expression_statement':
      return named(node).flatMap((child) => readBinding(child, branch))
    case 'type_alias_statement': {
      const left = node.childForFieldName('left')
      const right = node.childForFieldName('right')
      if (left === null || right === null) return []
      const value = readExpression(right)
      return [{ kind: 'assign', name: left.text, annotation: undefined, value, place: placeOf(left), ...branch }]
    }
    case 'decorated_definition': {
      const decorators = named(node)
        .filter((child) => child.type === 'decorator')
        .flatMap(named)
        .map(readExpression)
      const definition = node.childForFieldName('definition')
      return definition === null ? [] : readDefinition(definition, decorators, branch)
    }
    case 'class_definition':
    case 'function_definition':
      return readDefinition(node, [], branch)
    case 'if_statement':
      return readIf(node, branch)
    case 'try_statement':
    case 'with_statement':
    case 'for_statement':
    case 'while_statement':
    case 'match_statement':
      return readBranches(node, branch)
    case 'case_clause': {
      const block = node.childForFieldName('consequence')
      return block === null ? [] : readBlock(block, { ...branch, fallback: true })
    }
    default:
      return []
  }
}

function readBinding(node: Node, branch: Branch): Statement[] {
  const made = node.type === 'assignment' ? readAssignment(node) : readChange(node)
  return made.map((statement) => ({ ...statement, ...branch }))
}

/** Each branch is taken when its test holds and none of those before it does. */
function readIf(node: Node, branch: Branch): Statement[] {
  const guards: Guard[] = [...branch.guards]
  let isFirst = true
  const take = (part: Node): Statement[] => {
    const test = part.childForFieldName('condition')
    const block = part.childForFieldName('consequence') ?? part.childForFieldName('body')
    const inner = test === null ? guards : [...guards, { test: readExpression(test), holds: true }]
    const fallback = branch.fallback || !isFirst
    if (test !== null) guards.push({ test: readExpression(test), holds: false })
    isFirst = false
    return block === null ? [] : readBlock(block, { fallback, guards: [...inner] })
  }
  const clauses = named(node).filter((child) => child.type === 'elif_clause' || child.type === 'else_clause')
  return [node, ...clauses].flatMap(take)
}

const UNKNOWN: Guard = { test: undefined, holds: true }

/** The body of `try` and `with` is run; whether handlers, loops and cases are, nobody can tell. */
function readBranches(node: Node, branch: Branch): Statement[] {
  const isRun = node.type === 'try_statement' || node.type === 'with_statement'
  const unsure: Branch = { ...branch, guards: [...branch.guards, UNKNOWN] }
  const first = node.childForFieldName('body')
  return named(node).flatMap((child) => {
    if (child.type === 'block') return readBlock(child, isRun && child.id === first?.id ? branch : unsure)
    if (!child.type.endsWith('_clause')) return []
    const inner = child.type === 'finally_clause' ? branch : { ...unsure, fallback: true }
    return named(child).flatMap((part) => (part.type === 'block' ? readBlock(part, inner) : []))
  })
}

function readImport(name: Node, branch: Branch): Statement[] {
  const place = placeOf(name)
  if (name.type !== 'aliased_import') return [{ kind: 'import', module: name.text, alias: undefined, place, ...branch }]
  const module = name.childForFieldName('name')?.text ?? ''
  return [{ kind: 'import', module, alias: name.childForFieldName('alias')?.text, place, ...branch }]
}

function readFrom(node: Node, branch: Branch): Statement[] {
  const from = node.childForFieldName('module_name')
  const path = from?.text ?? '__future__'
  const level = /^\.*/.exec(path)?.[0].length ?? 0
  const module = path.slice(level)
  const base = { kind: 'from', level, module, ...branch } as const
  if (named(node).some((child) => child.type === 'wildcard_import')) {
    return [{ ...base, name: '*', alias: '*', place: placeOf(node) }]
  }
  return node.childrenForFieldName('name').flatMap((name): Statement[] => {
    if (name === null) return []
    const original = name.type === 'aliased_import' ? (name.childForFieldName('name')?.text ?? '') : name.text
    const alias = name.type === 'aliased_import' ? (name.childForFieldName('alias')?.text ?? original) : original
    return [{ ...base, name: original, alias, place: placeOf(name) }]
  })
}

function readDefinition(node: Node, decorators: readonly Expression[], branch: Branch): Statement[] {
  const nameNode = node.childForFieldName('name')
  const body = node.childForFieldName('body')
  if (nameNode === null || body === null) return []
  const place = placeOf(nameNode)
  if (node.type === 'class_definition') {
    const bases = node.childForFieldName('superclasses')
    const { positional, keywords } = bases === null ? { positional: [], keywords: [] } : readArguments(bases)
    return [
      {
        kind: 'class',
        name: nameNode.text,
        bases: positional,
        keywords,
        decorators,
        body: readBlock(body, ALWAYS),
        place,
        ...branch,
      },
    ]
  }
  return [{ ...readFunction(node, nameNode.text, body, decorators, place), ...branch }]
}

function readFunction(
  node: Node,
  name: string,
  body: Node,
  decorators: readonly Expression[],
  place: Place,
): FunctionSyntax {
  const parameters = node.childForFieldName('parameters')
  const returns = node.childForFieldName('return_type')
  return {
    kind: 'function',
    name,
    isAsync: children(node).some((child) => child.type === 'async'),
    isGenerator: yields(body),
    parameters: parameters === null ? [] : named(parameters).flatMap(readParameter),
    returns: returns === null ? undefined : readExpression(returns),
    result: onlyResult(body),
    decorators,
    place,
  }
}

/** The expression of a body that is one `return`, with or without a docstring before it. */
function onlyResult(body: Node): Expression | undefined {
  const statements = named(body).filter(({ type }) => type !== 'comment')
  const [last, docstring, ...others] = statements.toReversed()
  const isText = docstring === undefined || named(docstring)[0]?.type === 'string'
  if (last?.type !== 'return_statement' || !isText || others.length > 0) return undefined
  const [value] = named(last)
  return value === undefined ? undefined : readExpression(value)
}

/** A `yield` in an inner function or lambda makes that one the generator. */
function yields(body: Node): boolean {
  const stack = [body]
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    for (const child of children(node)) {
      if (child.type === 'yield') return true
      if (!['function_definition', 'lambda', 'class_definition'].includes(child.type)) stack.push(child)
    }
  }
  return false
}

function readParameter(node: Node): Parameter[] {
  const annotationNode = node.childForFieldName('type')
  const valueNode = node.childForFieldName('value')
  const annotation = annotationNode === null ? undefined : readExpression(annotationNode)
  const value = valueNode === null ? undefined : readExpression(valueNode)
  const target = node.childForFieldName('name') ?? (node.type === 'identifier' ? node : named(node)[0])
  if (target === undefined || node.type.endsWith('_separator')) return []
  const splat = node.type.includes('splat') ? node.type : target.type
  const kind = splat === 'list_splat_pattern' ? 'args' : splat === 'dictionary_splat_pattern' ? 'kwargs' : 'normal'
  return [{ name: target.text.replace(/^\*+/, ''), kind, annotation, value, place: placeOf(target) }]
}
