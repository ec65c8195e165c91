import { readFile } from 'node:fs/promises'
import { Language, Parser, type Node } from 'web-tree-sitter'
import { findTooDeep } from './nesting.ts'
import { children, named, placeOf } from './nodes.ts'
import { readArguments, readExpression } from './read-expression.ts'
import type { Expression, FunctionSyntax, ModuleSyntax, Parameter, Place, Statement } from './syntax.ts'

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
        statements: readBlock(root, false),
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

function readBlock(block: Node, fallback: boolean): Statement[] {
  return named(block).flatMap((node) => readStatement(node, fallback))
}

function readStatement(node: Node, fallback: boolean): Statement[] {
  switch (node.type) {
    case 'import_statement':
      return node.childrenForFieldName('name').flatMap((name) => (name === null ? [] : readImport(name, fallback)))
    case 'import_from_statement':
    case 'future_import_statement':
      return readFrom(node, fallback)
    case 'expression_statement':
      return named(node).flatMap((child) => (child.type === 'assignment' ? readAssignment(child, fallback) : []))
    case 'type_alias_statement': {
      const left = node.childForFieldName('left')
      const right = node.childForFieldName('right')
      if (left === null || right === null) return []
      return [
        {
          kind: 'assign',
          name: left.text,
          annotation: undefined,
          value: readExpression(right),
          place: placeOf(left),
          fallback,
        },
      ]
    }
    case 'decorated_definition': {
      const decorators = named(node)
        .filter((child) => child.type === 'decorator')
        .flatMap(named)
        .map(readExpression)
      const definition = node.childForFieldName('definition')
      return definition === null ? [] : readDefinition(definition, decorators, fallback)
    }
    case 'class_definition':
    case 'function_definition':
      return readDefinition(node, [], fallback)
    case 'if_statement':
    case 'try_statement':
    case 'with_statement':
      return readBranches(node, fallback)
    default:
      return []
  }
}

/** The first branch binds names; later ones only bind what no earlier one did. */
function readBranches(node: Node, fallback: boolean): Statement[] {
  const first = node.childForFieldName('consequence') ?? node.childForFieldName('body')
  return named(node).flatMap((child) => {
    if (child.type === 'block') return readBlock(child, fallback || child.id !== first?.id)
    if (child.type.endsWith('_clause')) {
      return named(child).flatMap((inner) => (inner.type === 'block' ? readBlock(inner, true) : []))
    }
    return []
  })
}

function readImport(name: Node, fallback: boolean): Statement[] {
  const place = placeOf(name)
  if (name.type !== 'aliased_import') return [{ kind: 'import', module: name.text, alias: undefined, place, fallback }]
  const module = name.childForFieldName('name')?.text ?? ''
  return [{ kind: 'import', module, alias: name.childForFieldName('alias')?.text, place, fallback }]
}

function readFrom(node: Node, fallback: boolean): Statement[] {
  const from = node.childForFieldName('module_name')
  const path = from?.text ?? '__future__'
  const level = /^\.*/.exec(path)?.[0].length ?? 0
  const module = path.slice(level)
  const base = { kind: 'from', level, module, fallback } as const
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

function readAssignment(node: Node, fallback: boolean): Statement[] {
  const left = node.childForFieldName('left')
  if (left?.type !== 'identifier') return []
  const type = node.childForFieldName('type')
  const right = node.childForFieldName('right')
  return [
    {
      kind: 'assign',
      name: left.text,
      annotation: type === null ? undefined : readExpression(type),
      value: right === null ? undefined : readExpression(right),
      place: placeOf(left),
      fallback,
    },
  ]
}

function readDefinition(node: Node, decorators: readonly Expression[], fallback: boolean): Statement[] {
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
        body: readBlock(body, false),
        place,
        fallback,
      },
    ]
  }
  return [{ ...readFunction(node, nameNode.text, body, decorators, place), fallback }]
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
    decorators,
    place,
  }
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
