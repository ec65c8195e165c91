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
  return READERS.get(node.type)?.(node) ?? OTHER
}

const OTHER: Shape = { kind: 'other' }

/** How each type of node is read; undefined where the parser left a part out, after an error in the source. */
const READERS: ReadonlyMap<string, (node: Node) => Shape | undefined> = new Map(
  Object.entries({
    identifier: (node) => ({ kind: 'name', name: node.text }),
    attribute: (node) => readAttribute(fields(node, 'object', 'attribute')),
    member_type: (node) => readAttribute(parts(node, 2)),

    string: readString,
    concatenated_string: (node) => joinStrings(named(node).map(readExpression)),
    integer: (node) => readNumber(node.text, false),
    float: (node) => readNumber(node.text, true),
    true: () => ({ kind: 'constant', value: true }),
    false: () => ({ kind: 'constant', value: false }),
    none: () => ({ kind: 'constant', value: null }),
    ellipsis: () => ({ kind: 'ellipsis' }),

    list: (node) => ({ kind: 'list', items: named(node).map(readExpression) }),
    tuple: (node) => ({ kind: 'tuple', items: named(node).map(readExpression) }),
    set: (node) => ({ kind: 'set', items: named(node).map(readExpression) }),
    expression_list: (node) => ({ kind: 'tuple', items: named(node).map(readExpression) }),
    dictionary: (node) => ({ kind: 'dict', entries: named(node).map(readDictEntry) }),
    list_comprehension: readComprehension,
    generator_expression: readComprehension,
    set_comprehension: readComprehension,

    call: readCall,
    subscript: readSubscript,
    generic_type: readGenericType,

    union_type: (node) => readBinary('|', parts(node, 2)),
    binary_operator: (node) => readBinary(operatorOf(node), fields(node, 'left', 'right')),
    boolean_operator: readTest,
    unary_operator: (node) => readUnary(operatorOf(node), node),
    not_operator: (node) => readUnary('not', node),
    comparison_operator: readComparison,
    conditional_expression: readConditional,
    list_splat: readSplat,
  } satisfies Record<string, (node: Node) => Shape | undefined>),
)

/** The parts of a node by the grammar's names; undefined when one is missing. */
function fields(node: Node, ...names: readonly string[]): readonly Node[] | undefined {
  const found = names.flatMap((name) => node.childForFieldName(name) ?? [])
  return found.length === names.length ? found : undefined
}

/** The first parts of a node whose parts have no names; undefined when there are fewer. */
function parts(node: Node, count: number): readonly Node[] | undefined {
  const found = named(node).slice(0, count)
  return found.length === count ? found : undefined
}

function operatorOf(node: Node): string | undefined {
  return node.childForFieldName('operator')?.text
}

function readAttribute([object, name]: readonly Node[] = []): Shape | undefined {
  if (object === undefined || name === undefined) return undefined
  return { kind: 'attribute', object: readExpression(object), name: name.text }
}

function readSubscript(node: Node): Shape | undefined {
  const value = node.childForFieldName('value')
  if (value === null) return undefined
  const items = node.childrenForFieldName('subscript').flatMap((item) => (item === null ? [] : readExpression(item)))
  return { kind: 'subscript', value: readExpression(value), items: flattenTuple(items) }
}

function readGenericType(node: Node): Shape | undefined {
  const [value, parameters] = named(node)
  if (value === undefined || parameters === undefined) return undefined
  const items = flattenTuple(named(parameters).map(readExpression))
  return { kind: 'subscript', value: readExpression(value), items }
}

function readBinary(operator: string | undefined, [left, right]: readonly Node[] = []): Shape | undefined {
  if (operator === undefined || left === undefined || right === undefined) return undefined
  return { kind: 'binary', operator, left: readExpression(left), right: readExpression(right) }
}

function readTest(node: Node): Shape | undefined {
  const [operator, [left, right] = []] = [operatorOf(node), fields(node, 'left', 'right')]
  if (operator === undefined || left === undefined || right === undefined) return undefined
  return { kind: 'test', operator, left: readExpression(left), right: readExpression(right) }
}

function readUnary(operator: string | undefined, node: Node): Shape | undefined {
  const operand = node.childForFieldName('argument')
  if (operator === undefined || operand === null) return undefined
  return { kind: 'unary', operator, operand: readExpression(operand) }
}

function readConditional(node: Node): Shape | undefined {
  const [consequence, test, alternative] = named(node).map(readExpression)
  if (consequence === undefined || test === undefined || alternative === undefined) return undefined
  return { kind: 'conditional', test, consequence, alternative }
}

function readSplat(node: Node): Shape | undefined {
  const [value] = named(node)
  return value === undefined ? undefined : { kind: 'splat', value: readExpression(value) }
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
