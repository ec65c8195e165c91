import { readFile } from 'node:fs/promises'
import { Language, Parser, type Node } from 'web-tree-sitter'
import type { Expression, FunctionSyntax, Keyword, ModuleSyntax, Parameter, Place, Statement } from './syntax.ts'

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
    parseModule: (source) =>
      withTree(source, (root) => ({
        statements: readBlock(root, false),
        errors: root.hasError ? findErrors(root) : [],
      })),
    parseExpression: (source) => withTree(source, readOnlyExpression),
  }
}

function readOnlyExpression(root: Node): Expression | undefined {
  const [statement, ...others] = named(root)
  if (root.hasError || others.length > 0 || statement?.type !== 'expression_statement') return undefined
  const [expression] = named(statement)
  return expression === undefined ? undefined : readExpression(expression)
}

/** The innermost nodes that the grammar could not take, or that it had to make up. */
function findErrors(node: Node): Place[] {
  if (node.isMissing) return [placeOf(node)]
  const below = children(node).flatMap((child) => (child.hasError || child.isMissing ? findErrors(child) : []))
  return below.length === 0 && node.isError ? [placeOf(node)] : below
}

function children(node: Node): Node[] {
  return node.children.filter((child) => child !== null)
}

function named(node: Node): Node[] {
  return node.namedChildren.filter((child) => child !== null && child.type !== 'comment') as Node[]
}

function placeOf(node: Node): Place {
  const { row, column } = node.startPosition
  const sameLine = node.endPosition.row === row
  const width = sameLine ? node.endPosition.column - column : (node.text.split('\n', 1)[0] ?? '').length
  return { line: row + 1, column: column + 1, endColumn: column + 1 + Math.max(1, width) }
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
function yields(node: Node): boolean {
  return children(node).some(
    (child) =>
      child.type === 'yield' ||
      (!['function_definition', 'lambda', 'class_definition'].includes(child.type) && yields(child)),
  )
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

type Shape = Expression extends infer E ? (E extends Expression ? Omit<E, 'text' | 'place'> : never) : never

function readExpression(node: Node): Expression {
  if (['type', 'parenthesized_expression', 'constrained_type'].includes(node.type)) {
    const [inner] = named(node)
    if (inner !== undefined) return readExpression(inner)
  }
  return { ...readShape(node), text: node.text, place: placeOf(node) } as Expression
}

function readShape(node: Node): Shape {
  switch (node.type) {
    case 'identifier':
      return { kind: 'name', name: node.text }
    case 'attribute':
      return readPair(node, 'object', 'attribute')
    case 'member_type': {
      const [object, name] = named(node)
      if (object === undefined || name === undefined) return { kind: 'other' }
      return { kind: 'attribute', object: readExpression(object), name: name.text }
    }
    case 'string':
      return readString(node)
    case 'concatenated_string':
      return joinStrings(named(node).map(readExpression))
    case 'integer':
      return readNumber(node.text, false)
    case 'float':
      return readNumber(node.text, true)
    case 'true':
    case 'false':
      return { kind: 'constant', value: node.type === 'true' }
    case 'none':
      return { kind: 'constant', value: null }
    case 'ellipsis':
      return { kind: 'ellipsis' }
    case 'list':
    case 'tuple':
    case 'set':
      return { kind: node.type, items: named(node).map(readExpression) }
    case 'expression_list':
      return { kind: 'tuple', items: named(node).map(readExpression) }
    case 'dictionary':
      return { kind: 'dict', entries: named(node).map(readDictEntry) }
    case 'call':
      return readCall(node)
    case 'subscript': {
      const value = node.childForFieldName('value')
      if (value === null) return { kind: 'other' }
      const items = node
        .childrenForFieldName('subscript')
        .flatMap((item) => (item === null ? [] : readExpression(item)))
      return { kind: 'subscript', value: readExpression(value), items: flattenTuple(items) }
    }
    case 'generic_type': {
      const [value, parameters] = named(node)
      if (value === undefined || parameters === undefined) return { kind: 'other' }
      return {
        kind: 'subscript',
        value: readExpression(value),
        items: flattenTuple(named(parameters).map(readExpression)),
      }
    }
    case 'union_type': {
      const [left, right] = named(node)
      if (left === undefined || right === undefined) return { kind: 'other' }
      return { kind: 'binary', operator: '|', left: readExpression(left), right: readExpression(right) }
    }
    case 'binary_operator': {
      const [left, operator, right] = ['left', 'operator', 'right'].map((field) => node.childForFieldName(field))
      if (!left || !operator || !right) return { kind: 'other' }
      return { kind: 'binary', operator: operator.text, left: readExpression(left), right: readExpression(right) }
    }
    case 'unary_operator': {
      const operand = node.childForFieldName('argument')
      const operator = node.childForFieldName('operator')
      if (operand === null || operator === null) return { kind: 'other' }
      return { kind: 'unary', operator: operator.text, operand: readExpression(operand) }
    }
    case 'list_splat': {
      const [value] = named(node)
      return value === undefined ? { kind: 'other' } : { kind: 'splat', value: readExpression(value) }
    }
    case 'list_comprehension':
    case 'generator_expression':
    case 'set_comprehension':
      return readComprehension(node)
    default:
      return { kind: 'other' }
  }
}

function readPair(node: Node, object: string, name: string): Shape {
  const [left, right] = [node.childForFieldName(object), node.childForFieldName(name)]
  if (left === null || right === null) return { kind: 'other' }
  return { kind: 'attribute', object: readExpression(left), name: right.text }
}

/** `X[(a, b)]` and `X[a, b]` are the same to Python. */
function flattenTuple(items: readonly Expression[]): readonly Expression[] {
  const [only] = items
  return items.length === 1 && only?.kind === 'tuple' ? only.items : items
}

function readDictEntry(node: Node): readonly [Expression | undefined, Expression] {
  const key = node.childForFieldName('key')
  const value = node.childForFieldName('value') ?? named(node)[0] ?? node
  return [key === null ? undefined : readExpression(key), readExpression(value)]
}

function readCall(node: Node): Shape {
  const target = node.childForFieldName('function')
  const list = node.childForFieldName('arguments')
  if (target === null || list === null) return { kind: 'other' }
  if (list.type === 'generator_expression') {
    return { kind: 'call', target: readExpression(target), positional: [readExpression(list)], keywords: [] }
  }
  return { kind: 'call', target: readExpression(target), ...readArguments(list) }
}

function readArguments(list: Node): { positional: readonly Expression[]; keywords: readonly Keyword[] } {
  const positional: Expression[] = []
  const keywords: Keyword[] = []
  for (const node of named(list)) {
    const place = placeOf(node)
    const value = node.childForFieldName('value')
    if (node.type === 'keyword_argument' && value !== null) {
      keywords.push({ name: node.childForFieldName('name')?.text, value: readExpression(value), place })
    } else if (node.type === 'dictionary_splat') {
      const [inner] = named(node)
      if (inner !== undefined) keywords.push({ name: undefined, value: readExpression(inner), place })
    } else positional.push(readExpression(node))
  }
  return { positional, keywords }
}

function readComprehension(node: Node): Shape {
  const clauses = named(node).filter((child) => child.type === 'for_in_clause' || child.type === 'if_clause')
  const [clause] = clauses
  const body = node.childForFieldName('body')
  const variable = clause?.childForFieldName('left')
  const source = clause?.childForFieldName('right')
  if (clauses.length !== 1 || body === null || variable?.type !== 'identifier' || !source) return { kind: 'other' }
  return { kind: 'comprehension', body: readExpression(body), variable: variable.text, source: readExpression(source) }
}

function readNumber(text: string, isFloat: boolean): Shape {
  const value = Number(text.replaceAll('_', ''))
  return Number.isNaN(value) ? { kind: 'other' } : { kind: 'number', value, isFloat }
}

function readString(node: Node): Shape {
  const parts = children(node)
  const start = parts.find((part) => part.type === 'string_start')?.text.toLowerCase() ?? ''
  if (start.includes('b') || start.startsWith('t')) return { kind: 'other' }
  const isRaw = start.includes('r')
  const pieces = parts.flatMap((part): Expression[] => {
    const at = { text: part.text, place: placeOf(part) }
    if (part.type === 'string_content') {
      // The content holds escapes as children, and between two escapes plain text.
      const value = isRaw ? part.text : unescape(part.text)
      return [{ kind: 'string', value, ...at }]
    }
    if (part.type !== 'interpolation') return []
    const expression = part.childForFieldName('expression')
    const isPlain =
      part.childForFieldName('format_specifier') === null && part.childForFieldName('type_conversion') === null
    return [expression === null || !isPlain ? { kind: 'other', ...at } : readExpression(expression)]
  })
  return joinStrings(pieces, start.includes('f'))
}

function joinStrings(pieces: readonly Expression[], isFormat = false): Shape {
  if (pieces.every((piece) => piece.kind === 'string'))
    return { kind: 'string', value: pieces.map((piece) => piece.value).join('') }
  if (!isFormat && pieces.some((piece) => piece.kind === 'other')) return { kind: 'other' }
  return { kind: 'format', parts: pieces }
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\n': '',
}

/** Python's escapes; `\N{...}` names are left as they are. */
function unescape(text: string): string {
  return text.replaceAll(
    /\\(\r?\n|[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[\s\S])/g,
    (whole, escape: string) => {
      if (escape === '\r\n') return ''
      if (/^[0-7]/.test(escape)) return String.fromCodePoint(Number.parseInt(escape, 8))
      if (/^[xuU]./.test(escape)) {
        const code = Number.parseInt(escape.slice(1), 16)
        return code > 0x10ffff ? whole : String.fromCodePoint(code)
      }
      return ESCAPES[escape] ?? whole
    },
  )
}
