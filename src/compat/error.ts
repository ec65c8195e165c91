import { BuildError } from '../core/errors.ts'

/** One demand that cannot be met together with the others. */
export interface Conflict {
  /** What it is about: `cuda`, `cudnn`, `torch`, `driver`, `targets`, ... */
  readonly key: string
  readonly message: string
  readonly hint?: string
}

/** Versions that do not go together; holds every conflict found. */
export class CompatError extends BuildError {
  override readonly name: string = 'CompatError'
  readonly conflicts: readonly Conflict[]

  constructor(conflicts: readonly Conflict[]) {
    const messages = conflicts.map((conflict) => conflict.message)
    const hints = [...new Set(conflicts.flatMap((conflict) => conflict.hint ?? []))]
    super('ENVIRONMENT_CONFLICT', messages.join('; '), {
      hint: hints.length === 0 ? undefined : hints.join(' '),
      data: { conflicts },
    })
    this.conflicts = conflicts
  }
}
