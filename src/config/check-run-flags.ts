import type { ReportIssue } from './issues.ts'
import { takeRunFlags } from './run-flags.ts'
import type { CogYaml } from './schema.ts'

/** Flags of a Dockerfile's `RUN` before a command are those that {@link takeRunFlags} understands. */
export function checkRunFlags({ build }: CogYaml, report: ReportIssue): void {
  for (const [index, step] of (build?.run ?? []).entries())
    tell(step, ['build', 'run', index, ...(typeof step === 'string' ? [] : ['command'])])
  for (const [index, step] of (build?.pre_install ?? []).entries()) tell(step, ['build', 'pre_install', index])

  function tell(step: string | { readonly command: string }, path: readonly (string | number)[]): void {
    for (const { text, hint } of takeRunFlags(typeof step === 'string' ? step : step.command).problems)
      report('error', 'invalid-value', path, text, { hint })
  }
}
