import type { Node } from 'web-tree-sitter'
import { children, named, placeOf } from './nodes.ts'
import { unescapePython } from './python-string.ts'
import type { Expression, Keyword } from './syntax.ts'

type Shape = Expression extends infer E ? (E extends Expression ? Omit<E, 'text' | 'place'> : never) : never

/** Chains of operators and attributes need no brackets, so nothing else bounds them; signatures have a few links. */
const MAX_DEPTH = 500
let depth = 0

/** Reads an expression or an annotation; what is nested absurdly deep is `other`. */
export function readExpression(node: Node): Expression {
  if (['type', 'parenthesized_expression', 'constrained_type'].includes(node.type)) {
    const [inner] = named(node)
    if (inner !== undefined) return readExpression(inner)
  }
  depth++
  try {
    const shape: Shape = depth > MAX_DEPTH ? { kind: 'other' } : readShape(node)
    return { ...shape, text: node.text, place: placeOf(node) }
  } finally {
    depth--
  }
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
    case 'not_operator': {
      const operand = node.childForFieldName('argument')
      return operand === null ? { kind: 'other' } : { kind: 'unary', operator: 'not', operand: readExpression(operand) }
    }
    case 'boolean_operator': {
      const [left, operator, right] = ['left', 'operator', 'right'].map((field) => node.childForFieldName(field))
      if (!left || !operator || !right) return { kind: 'other' }
      return { kind: 'test', operator: operator.text, left: readExpression(left), right: readExpression(right) }
    }
    case 'comparison_operator':
      return readComparison(node)
    case 'conditional_expression': {
      const [consequence, test, alternative] = named(node).map(readExpression)
      if (consequence === undefined || test === undefined || alternative === undefined) return { kind: 'other' }
      return { kind: 'conditional', test, consequence, alternative }
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

/** The arguments of a call, or the bases of a class. */
export function readArguments(list: Node): { positional: readonly Expression[]; keywords: readonly Keyword[] } {
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

/** `a < b <= c` is `a < b and b <= c`. */
function readComparison(node: Node): Shape {
  const operands = named(node).map(readExpression)
  const operators = node.childrenForFieldName('operators').flatMap((operator) => operator?.text ?? [])
  const pairs = operators.flatMap((operator, index): Expression[] => {
    const [left, right] = [operands[index], operands[index + 1]]
    if (left === undefined || right === undefined) return []
    return [{ kind: 'test', operator, left, right, text: node.text, place: placeOf(node) }]
  })
  if (pairs.length === 0 || pairs.length !== operands.length - 1) return { kind: 'other' }
  return pairs.reduce((left, right) => ({ ...left, kind: 'test', operator: 'and', left, right }))
}

function readComprehension(node: Node): Shape {
  const clauses = named(node).filter((child) => child.type === 'for_in_clause')
  const conditions = named(node)
    .filter((child) => child.type === 'if_clause')
    .map((child) => {
      const [condition] = named(child)
      return readExpression(condition ?? child)
    })
  const [clause] = clauses
  const body = node.childForFieldName('body')
  const variable = clause?.childForFieldName('left')
  const source = clause?.childForFieldName('right')
  if (clauses.length !== 1 || body === null || variable?.type !== 'identifier' || !source) return { kind: 'other' }
  return {
    kind: 'comprehension',
    body: readExpression(body),
    variable: variable.text,
    source: readExpression(source),
    conditions,
  }
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
      const value = isRaw ? part.text : unescapePython(part.text)
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
