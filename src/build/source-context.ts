import type { BuildContext } from './context.ts'
import { sourceDate } from '../core/source-date.ts'
import type { SourceContext } from './source/context.ts'

/** What building a package from its source takes. */
export function sourceContext(
  projectFolder: string,
  network: 'host' | 'none',
  { store, http, env, report, now, signal, baseLayers }: BuildContext,
): Omit<SourceContext, 'headers'> {
  const epochSeconds = sourceDate(env) ?? 0
  return { store, http, env, report, now, signal, baseLayers, projectFolder, network, epochSeconds }
}
