import { DiagnosticError, renderDiagnostic } from '../core/diagnostic.ts'
import { BuildError } from '../core/errors.ts'

/** How errors are shown. */
export interface ErrorStyle {
  readonly bold: (text: string) => string
  readonly red: (text: string) => string
  readonly dim: (text: string) => string
}

/**
 * Shows an error to a person: what happened, the chain of causes, and what to try.
 *
 * An error of our own making (not a {@link BuildError}) is shown with its stack, since nobody else can find it.
 */
export function renderError(error: unknown, style: ErrorStyle): string {
  if (!(error instanceof BuildError)) return renderBug(error, style)
  if (error instanceof DiagnosticError) return renderIssues(error, style)
  const lines = [`${style.red(style.bold('error'))}${style.dim(`[${error.code}]`)}: ${error.message}`]
  for (const cause of causes(error)) lines.push(`  ${style.dim('caused by:')} ${cause}`)
  if (error.hint !== undefined) lines.push('', `${style.bold('hint')}: ${error.hint}`)
  return `${lines.join('\n')}\n`
}

/** The same as one JSON object, for `--progress json`. */
export function errorToJson(error: unknown): Record<string, unknown> {
  if (!(error instanceof BuildError)) return { type: 'error', code: 'INTERNAL', message: String(error) }
  const { code, message, hint, data } = error
  return {
    type: 'error',
    code,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(data === undefined ? {} : { data }),
  }
}

/** Every problem of a file with its line and a caret, then how many there are. */
function renderIssues(error: DiagnosticError, style: ErrorStyle): string {
  const paint = { error: style.red, warning: style.bold, faint: style.dim, strong: style.bold }
  const count = error.issues.filter((issue) => issue.severity === 'error').length
  const head = `${style.red(style.bold('error'))}${style.dim(`[${error.code}]`)}: ${error.what}: ${count} ${count === 1 ? 'problem' : 'problems'}`
  return `${[...error.issues.map((issue) => renderDiagnostic(issue, paint)), head].join('\n\n')}\n`
}

function causes(error: Error): string[] {
  const found: string[] = []
  let shown = error.message
  for (let cause = error.cause; cause instanceof Error && found.length < 5; cause = cause.cause) {
    const words = wordsOf(cause)
    // A message that repeats its cause's words says it all already.
    if (words !== '' && !shown.includes(words)) found.push(words.replaceAll('\n', '\n    '))
    shown = words
  }
  return found
}

/** OpenSSL's messages hold the place in its sources and end in empty lines; `reason` has what they mean. */
function wordsOf(error: Error): string {
  return 'reason' in error && typeof error.reason === 'string' ? error.reason : error.message.trim()
}

function renderBug(error: unknown, style: ErrorStyle): string {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const hint = 'This is a fault of layerwright itself. Please report it with the lines above.'
  return `${style.red(style.bold('error'))}${style.dim('[INTERNAL]')}: ${text}\n\n${style.bold('hint')}: ${hint}\n`
}
