import type { Node } from 'web-tree-sitter'
import type { Place } from './syntax.ts'

/** All children of a node. */
export function children(node: Node): Node[] {
  return node.children.filter((child) => child !== null)
}

/** The children that are part of the grammar, without comments. */
export function named(node: Node): Node[] {
  return node.namedChildren.filter((child) => child !== null && child.type !== 'comment')
}

/** Where a node stands; the mark ends with its first line. */
export function placeOf(node: Node): Place {
  const { row, column } = node.startPosition
  const sameLine = node.endPosition.row === row
  const width = sameLine ? node.endPosition.column - column : (node.text.split('\n', 1)[0] ?? '').length
  return { line: row + 1, column: column + 1, endColumn: column + 1 + Math.max(1, width) }
}
