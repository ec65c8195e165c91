import { nearest } from '../core/suggest.ts'
import type { Report } from '../core/progress.ts'
import { isPlannedStep, type Plan } from '../plan/plan.ts'

/** Warns of secrets that no step mounts: most often the name is another one in cog.yaml. */
export function tellUnusedSecrets(given: Iterable<string>, plans: readonly Plan[], report: Report): void {
  const steps = plans.flatMap(({ layers }) => layers.filter(isPlannedStep))
  const mounted = new Set(
    steps.flatMap(({ mounts }) => mounts.flatMap((mount) => (mount.type === 'secret' ? [mount.id] : []))),
  )
  for (const id of given) {
    if (mounted.has(id)) continue
    const meant = nearest(id, mounted)
    const advice = meant === undefined ? '' : `; did you mean \`${meant}\`?`
    const text = `The secret \`${id}\` is given, but no command of cog.yaml mounts it${advice}`
    report({ type: 'note', level: 'warning', text, code: 'SECRET_UNUSED' })
  }
}
