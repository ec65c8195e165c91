import type { Node } from 'web-tree-sitter'
import { named, placeOf } from './nodes.ts'
import { readExpression } from './read-expression.ts'
import type { AssignSyntax, Expression } from './syntax.ts'

type Shape<E = Expression> = E extends Expression ? Omit<E, 'text' | 'place'> : never

/** `a = 1`, `a: int = 1`, `a = b = 1`, `a, b = 1, 2` and `a[k] = v`. */
export function readAssignment(node: Node): AssignSyntax[] {
  const left = node.childForFieldName('left')
  if (left === null) return []
  const type = node.childForFieldName('type')
  let right = node.childForFieldName('right')
  const others: AssignSyntax[] = right?.type === 'assignment' ? readAssignment(right) : []
  while (right?.type === 'assignment') right = right.childForFieldName('right')
  const value = right === null ? undefined : readExpression(right)
  if (left.type === 'identifier') {
    const annotation = type === null ? undefined : readExpression(type)
    return [{ kind: 'assign', name: left.text, annotation, value, place: placeOf(left) }, ...others]
  }
  return value === undefined ? others : [...readTarget(left, value), ...others]
}

function readTarget(left: Node, value: Expression): AssignSyntax[] {
  switch (left.type) {
    case 'identifier':
      return [{ kind: 'assign', name: left.text, annotation: undefined, value, place: placeOf(left) }]
    case 'pattern_list':
    case 'tuple_pattern':
    case 'list_pattern': {
      const targets = named(left)
      // `a, *b = c`: which is which depends on the length.
      const isStarred = targets.some((target) => target.type === 'list_splat_pattern')
      return targets.flatMap((target, index) =>
        readTarget(
          target.type === 'list_splat_pattern' ? (named(target)[0] ?? target) : target,
          isStarred ? like(value, { kind: 'other' }) : itemOf(value, index),
        ),
      )
    }
    case 'subscript': {
      const [object, ...keys] = named(left)
      const [key] = keys.map(readExpression)
      if (object?.type !== 'identifier' || key === undefined || keys.length !== 1) return []
      return [changed(object, '|', like(value, { kind: 'dict', entries: [[key, value]] }))]
    }
    default:
      return []
  }
}

function itemOf(value: Expression, index: number): Expression {
  const number = like(value, { kind: 'number', value: index, isFloat: false })
  return like(value, { kind: 'subscript', value, items: [number] })
}

/** What a method of a list or dict makes of it, as an operator on it; of others that change it nobody knows. */
const CHANGES: Readonly<Record<string, string | undefined>> = {
  append: '+',
  extend: '+',
  update: '|',
  insert: undefined,
  remove: undefined,
  pop: undefined,
  popitem: undefined,
  clear: undefined,
  sort: undefined,
  reverse: undefined,
  setdefault: undefined,
  add: undefined,
  discard: undefined,
}

/** `a += [1]`, `a.append(1)`, `a.update(b)` and the like: the name is bound to something new, for those who read it later. */
export function readChange(node: Node): AssignSyntax[] {
  if (node.type === 'augmented_assignment') {
    const [left, operator, right] = ['left', 'operator', 'right'].map((field) => node.childForFieldName(field))
    if (left?.type !== 'identifier' || !operator || !right) return []
    return [changed(left, operator.text.replace(/=$/, ''), readExpression(right))]
  }
  if (node.type !== 'call') return []
  const call = readExpression(node)
  const object = node.childForFieldName('function')?.childForFieldName('object')
  if (call.kind !== 'call' || call.target.kind !== 'attribute' || object?.type !== 'identifier') return []
  const method = call.target.name
  if (!(method in CHANGES)) return []
  const operator = CHANGES[method]
  const [argument] = call.positional
  const isKnown =
    operator !== undefined && argument !== undefined && call.positional.length + call.keywords.length === 1
  if (!isKnown) return [{ ...changed(object, '+', call), value: like(call, { kind: 'other' }) }]
  return [changed(object, operator, method === 'append' ? like(call, { kind: 'list', items: [argument] }) : argument)]
}

/** The name bound to `name operator change`, in which the name is what it was before. */
function changed(target: Node, operator: string, change: Expression): AssignSyntax {
  const left = readExpression(target)
  const value = like(change, { kind: 'binary', operator, left, right: change })
  return { kind: 'assign', name: target.text, isChange: true, annotation: undefined, value, place: placeOf(target) }
}

function like({ text, place }: Expression, shape: Shape): Expression {
  return { ...shape, text, place }
}
