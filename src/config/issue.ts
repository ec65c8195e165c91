import { DiagnosticError, type Diagnostic } from '../core/diagnostic.ts'

/** A cog.yaml that cannot be used; holds every problem with its place. */
export class ConfigError extends DiagnosticError {
  override readonly name: string = 'ConfigError'

  constructor(issues: readonly Diagnostic[]) {
    super('CONFIG_INVALID', 'The configuration is not valid', issues)
  }
}
