import type { DiagnosticCode } from './diagnostic-codes.ts'
import { BuildError, type BuildErrorOptions, type ErrorCode } from './errors.ts'

/** Something to say about one place of a text file that the user wrote. */
export interface Diagnostic {
  readonly severity: 'error' | 'warning'
  /** Also the anchor of its paragraph in the reference. */
  readonly code: DiagnosticCode
  readonly message: string
  /** As the user would name it: relative to the project folder where it lies within. */
  readonly file: string
  /** 1 is the first line. */
  readonly line: number
  /** 1 is the first character; counted in UTF-16 code units as editors do. */
  readonly column: number
  /** The column after the last character on the same line; equal to `column` when nothing is marked. */
  readonly endColumn: number
  /** Where it is in the data, such as `build.python_packages[2]`. */
  readonly path?: string
  /** What the user can do. */
  readonly hint?: string
  /** What may have been meant, ready to take the place of the marked text. */
  readonly suggestion?: string
  /** The text of the line, without its line break. */
  readonly source?: string
}

/** An error that stands for every problem found in a file, in the order of their places. */
export class DiagnosticError extends BuildError {
  override readonly name: string = 'DiagnosticError'
  /** All errors, and the warnings found beside them. */
  readonly issues: readonly Diagnostic[]
  /** What is wrong as a whole, without any of the issues. */
  readonly what: string

  constructor(code: ErrorCode, what: string, issues: readonly Diagnostic[], options: BuildErrorOptions = {}) {
    const errors = issues.filter((issue) => issue.severity === 'error')
    const [first] = errors
    const more = errors.length - 1
    const message =
      first === undefined
        ? what
        : `${what}: ${formatPlace(first)}: ${first.message}${more > 0 ? ` (and ${more} more)` : ''}`
    super(code, message, { ...options, data: { ...options.data, issues } })
    this.issues = issues
    this.what = what
  }
}

/** `file:line:column`, which terminals and editors turn into a link. */
function formatPlace(diagnostic: Pick<Diagnostic, 'file' | 'line' | 'column'>): string {
  return `${diagnostic.file}:${diagnostic.line}:${diagnostic.column}`
}

/** Orders diagnostics by place, errors before warnings on the same spot. */
export function compareDiagnostics(a: Diagnostic, b: Diagnostic): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1
  return a.line - b.line || a.column - b.column || (a.severity === b.severity ? 0 : a.severity === 'error' ? -1 : 1)
}

/** How a diagnostic is coloured; each function wraps a piece of text. */
export interface DiagnosticPaint {
  readonly error: (text: string) => string
  readonly warning: (text: string) => string
  readonly faint: (text: string) => string
  readonly strong: (text: string) => string
}

const PLAIN: DiagnosticPaint = {
  error: (text) => text,
  warning: (text) => text,
  faint: (text) => text,
  strong: (text) => text,
}

const MAX_WIDTH = 100

/**
 * Draws a diagnostic: place, severity, code and message; the line with a caret below; the hint.
 *
 * @example
 * cog.yaml:3:3: error[unknown-key]: Unknown key in `build`: `pyton_version`
 *   |
 * 3 |   pyton_version: "3.11"
 *   |   ^^^^^^^^^^^^^ did you mean `python_version`?
 *   hint: ...
 */
export function renderDiagnostic(diagnostic: Diagnostic, paint: DiagnosticPaint = PLAIN): string {
  const tone = diagnostic.severity === 'error' ? paint.error : paint.warning
  const head = `${formatPlace(diagnostic)}: ${tone(`${diagnostic.severity}[${diagnostic.code}]`)}: ${paint.strong(printable(diagnostic.message))}`
  const hint = diagnostic.hint === undefined ? [] : [`  hint: ${printable(diagnostic.hint)}`]
  return [head, ...excerpt(diagnostic, tone, paint.faint), ...hint].join('\n')
}

function excerpt(
  diagnostic: Diagnostic,
  tone: (text: string) => string,
  faint: (text: string) => string,
): readonly string[] {
  const { source, suggestion } = diagnostic
  const didYouMean = suggestion === undefined ? '' : `did you mean \`${printable(suggestion)}\`?`
  if (source === undefined) return didYouMean === '' ? [] : [`  ${didYouMean}`]
  // A long line is cut around the mark.
  const start = Math.min(diagnostic.column - 1, source.length)
  const from = source.length <= MAX_WIDTH ? 0 : Math.max(0, Math.min(start - 20, source.length - MAX_WIDTH))
  const text = source.slice(from, from + MAX_WIDTH)
  const length = Math.max(1, Math.min(diagnostic.endColumn - diagnostic.column, text.length - (start - from)))
  const number = String(diagnostic.line)
  const gutter = ' '.repeat(number.length)
  const mark = `${' '.repeat(start - from)}${tone('^'.repeat(length))}`
  return [
    faint(`${gutter} |`),
    `${faint(`${number} |`)} ${printable(text.replaceAll('\t', ' '))}`,
    `${faint(`${gutter} |`)} ${mark}${didYouMean === '' ? '' : ` ${tone(didYouMean)}`}`,
  ]
}

/** Control characters of hostile files must not reach the terminal. */
function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- they are what is looked for
  return text.replaceAll(/[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u200E\u200F\u202A-\u202E\u2066-\u2069]/g, '\uFFFD')
}
