import type { DiagnosticCode } from '../core/diagnostic-codes.ts'
import { compareDiagnostics, DiagnosticError, type Diagnostic } from '../core/diagnostic.ts'
import type { Place } from './syntax.ts'

/** A predictor whose signature cannot be described; holds every problem with its place. */
export class PredictorError extends DiagnosticError {
  override readonly name: string = 'PredictorError'

  constructor(issues: readonly Diagnostic[]) {
    super('PREDICTOR_INVALID', 'The predictor cannot be described', issues)
  }
}

/** The part of a source file that a message needs. */
export interface SourceFile {
  /** Relative to the project, with `/`. */
  readonly file: string
  readonly lines: readonly string[]
}

/** Collects what is wrong in the files of one predictor. */
export class Problems {
  readonly #issues: Diagnostic[] = []
  readonly #known = new Set<string>()

  error(code: DiagnosticCode, message: string, source: SourceFile, place: Place, details: ProblemDetails = {}): void {
    this.#add('error', code, message, source, place, details)
  }

  warn(code: DiagnosticCode, message: string, source: SourceFile, place: Place, details: ProblemDetails = {}): void {
    this.#add('warning', code, message, source, place, details)
  }

  list(): readonly Diagnostic[] {
    return this.#issues.toSorted(compareDiagnostics)
  }

  get hasErrors(): boolean {
    return this.#issues.some((issue) => issue.severity === 'error')
  }

  #add(
    severity: Diagnostic['severity'],
    code: DiagnosticCode,
    message: string,
    { file, lines }: SourceFile,
    { line, column, endColumn }: Place,
    { hint, suggestion }: ProblemDetails,
  ): void {
    const key = `${file}:${line}:${column}:${code}`
    if (this.#known.has(key)) return
    this.#known.add(key)
    const source = lines[line - 1]
    this.#issues.push({
      severity,
      code,
      message,
      file,
      line,
      column,
      endColumn,
      ...(hint === undefined ? {} : { hint }),
      ...(suggestion === undefined ? {} : { suggestion }),
      ...(source === undefined ? {} : { source }),
    })
  }
}

interface ProblemDetails {
  readonly hint?: string | undefined
  readonly suggestion?: string | undefined
}
