import { LineCounter, parseDocument } from 'yaml'
import type { z } from 'zod'
import { IssueList } from '../config/issues.ts'
import { toPlain, valueSpan } from '../config/shape.ts'
import { formatPath, locate, readTree, type PathPart, type Tree } from '../config/tree.ts'
import type { DiagnosticCode } from '../core/diagnostic-codes.ts'
import { DiagnosticError } from '../core/diagnostic.ts'
import { nearest } from '../core/suggest.ts'
import { routeTableSchema, type RouteTable } from './table.ts'

const EMPTY: Tree = { kind: 'map', entries: new Map(), span: [0, 0] }

/**
 * Reads a file of routes.
 *
 * @param file  as messages name it
 * @throws DiagnosticError CONFIG_INVALID with every problem and its place
 */
export function parseRouteTable(text: string, file: string): RouteTable {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, version: '1.2', prettyErrors: false, uniqueKeys: false })
  const issues = new IssueList(file, text, lines)
  for (const { message, pos } of document.errors)
    issues.add('error', 'yaml-syntax', `This is not YAML: ${message}`, pos)
  if (issues.hasErrors) throw invalid(issues)
  const tree = readTree(document, (code, message, span, hint) => issues.add('error', code, message, span, { hint }))
  const result = routeTableSchema.safeParse(toPlain(tree ?? EMPTY))
  for (const issue of result.error?.issues ?? []) explain(issue, tree ?? EMPTY, issues)
  if (!result.success || issues.hasErrors) throw invalid(issues)
  return result.data
}

function explain(issue: z.core.$ZodIssue, tree: Tree, issues: IssueList, above: readonly PathPart[] = []): void {
  const path = [...above, ...(issue.path as readonly PathPart[])]
  const add = (code: DiagnosticCode, message: string, at = path, suggestion?: string): void =>
    issues.add('error', code, message, spanOf(at, tree), { path: at, suggestion })
  switch (issue.code) {
    case 'unrecognized_keys':
      for (const key of issue.keys) {
        const at = [...path, key]
        add('unknown-key', `Unknown key: \`${formatPath(at)}\``, at, nearest(key, KEYS[path.length] ?? []))
      }
      return
    case 'invalid_type': {
      const isMissing = locate(tree, path).tree === locate(tree, path.slice(0, -1)).tree
      if (isMissing) add('missing-key', `\`${formatPath(path)}\` is missing`, path.slice(0, -1))
      else add('wrong-type', `\`${formatPath(path)}\` must be ${TYPES[issue.expected] ?? issue.expected}`)
      return
    }
    case 'invalid_union':
      add('invalid-value', `\`${formatPath(path)}\` names one \`header\`, or one \`cookie\``)
      return
    case 'invalid_key':
      for (const inner of issue.issues) add('invalid-value', `${inner.message}: \`${formatPath(path)}\``)
      return
    default:
      add('invalid-value', `${issue.message}: \`${formatPath(path)}\``)
  }
}

/** Keys that may be meant, by how deep they stand. */
const KEYS = [
  ['versions', 'sticky', 'health', 'mirror'],
  ['path', 'interval_seconds', 'timeout_seconds', 'to', 'percent', 'max_bytes', 'header', 'cookie'],
  ['url', 'urls', 'weight'],
]
const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping of names to versions',
}

/** A key that is unknown or wrong is pointed at itself. */
function spanOf(path: readonly PathPart[], tree: Tree): readonly [number, number] {
  const { tree: found, keySpan } = locate(tree, path)
  return found.kind === 'scalar' ? valueSpan(path, tree) : (keySpan ?? found.span)
}

function invalid(issues: IssueList): DiagnosticError {
  return new DiagnosticError('CONFIG_INVALID', 'The routes are not valid', issues.list())
}
