import type { LineCounter } from 'yaml'
import type { DiagnosticCode } from '../core/diagnostic-codes.ts'
import { compareDiagnostics, type Diagnostic } from '../core/diagnostic.ts'
import { blotAddresses, maskAddresses } from '../core/mask.ts'
import type { PathPart, Span } from './tree.ts'
import { formatPath } from './tree.ts'

/** What a check says of a place; the list adds the rest. */
export interface IssueDetails {
  readonly path?: readonly PathPart[] | undefined
  readonly hint?: string | undefined
  readonly suggestion?: string | undefined
}

/** Reports a problem at a path of the configuration. */
export type ReportIssue = (
  severity: Diagnostic['severity'],
  code: DiagnosticCode,
  path: readonly PathPart[],
  message: string,
  details?: { readonly hint?: string | undefined; readonly suggestion?: string | undefined; readonly atKey?: boolean },
) => void

/** What turns out wrong with a configuration once more is known than what stands in it. */
export interface LaterProblem {
  readonly code: DiagnosticCode
  readonly path: readonly PathPart[]
  readonly message: string
  readonly hint?: string | undefined
  readonly suggestion?: string | undefined
}

/** Collects the diagnostics of one file and turns spans into lines and columns. */
export class IssueList {
  readonly #file: string
  readonly #text: string
  readonly #lines: LineCounter
  readonly #issues: Diagnostic[] = []

  /** @param file as messages name it */
  constructor(file: string, text: string, lines: LineCounter) {
    this.#file = file
    this.#text = text
    this.#lines = lines
  }

  add(
    severity: Diagnostic['severity'],
    code: DiagnosticCode,
    message: string,
    span: Span,
    details: IssueDetails = {},
  ): void {
    const { line, col } = this.#lines.linePos(span[0])
    const lineStart = this.#lines.lineStarts[line - 1] ?? 0
    const source = this.#lineAt(lineStart)
    const column = Math.max(1, col)
    // A mark stays on its first line.
    const endColumn = Math.max(column, Math.min(span[1] - lineStart + 1, source.length + 1))
    const { path, hint, suggestion } = details
    // Where the YAML itself is at fault, what follows from it is no news.
    if (this.#issues.some((issue) => issue.code.startsWith('yaml-') && issue.line === line && issue.column === column))
      return
    this.#issues.push({
      severity,
      code,
      message: maskAddresses(message),
      file: this.#file,
      line: Math.max(1, line),
      column,
      endColumn,
      ...(path === undefined || path.length === 0 ? {} : { path: formatPath(path) }),
      ...(hint === undefined ? {} : { hint }),
      ...(suggestion === undefined ? {} : { suggestion }),
      source: blotAddresses(source),
    })
  }

  /** In the order of their places. */
  list(): readonly Diagnostic[] {
    return this.#issues.toSorted(compareDiagnostics)
  }

  get hasErrors(): boolean {
    return this.#issues.some((issue) => issue.severity === 'error')
  }

  #lineAt(start: number): string {
    const end = this.#text.indexOf('\n', start)
    return this.#text.slice(start, end === -1 ? undefined : end).replace(/\r$/, '')
  }
}
