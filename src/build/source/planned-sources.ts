import type { LayerSpec } from '../../../layers/kinds/index.ts'
import { BuildError } from '../../core/errors.ts'
import type { PlatformLock } from '../../lock/lock.ts'
import type { Plan } from '../../plan/plan.ts'
import type { ResolvedIndexSettings } from '../../python/settings/index-settings.ts'
import { buildWheel, type BuiltWheel } from './build-wheels.ts'
import type { SourceContext } from './context.ts'
import { makeSite } from './site.ts'

/** How the sources of a plan become wheels. */
export interface SourceBuilding {
  /** What the plan was made from. */
  readonly lock: PlatformLock | undefined
  readonly systemPackages: readonly string[]
  /** Undefined when no index may be asked. */
  readonly settings: ResolvedIndexSettings | undefined
  readonly isAllowed: boolean
  readonly context: SourceContext
}

/** Built wheels by the sha256 of the source file that stands for them in a plan. */
export type BuiltWheels = ReadonlyMap<string, BuiltWheel>

/** Builds what a plan has no wheel for, one after the other: builds use all cores themselves. */
export async function buildPlannedSources(plan: Plan, { lock, ...building }: SourceBuilding): Promise<BuiltWheels> {
  const built = new Map<string, BuiltWheel>()
  const sources = plan.sources ?? []
  if (sources.length === 0) return built
  if (!building.isAllowed || lock === undefined) {
    const names = sources.map(({ name, version }) => `${name} ${version}`).join(', ')
    throw new BuildError('WHEEL_NOT_FOUND', `These have no wheel, and nothing may be built: ${names}`, {
      hint: 'Leave --no-build out, or name versions that have wheels.',
    })
  }
  const { context, settings, systemPackages } = building
  const site = await makeSite(lock, systemPackages, context)
  for (const source of sources) {
    context.signal?.throwIfAborted()
    built.set(source.file.sha256, await buildWheel(source, { site, settings }, context))
  }
  return built
}

/** A layer with the wheels that were built in the place of their sources. */
export function withBuiltWheels(spec: LayerSpec, built: BuiltWheels): LayerSpec {
  const replace = <T extends { readonly sha256: string }>(files: readonly T[]): readonly (T | BuiltWheel)[] =>
    files.map((file) => built.get(file.sha256) ?? file)
  if (built.size === 0) return spec
  switch (spec.kind) {
    case 'wheels':
      return { ...spec, wheels: replace(spec.wheels) }
    case 'environment':
      return { ...spec, requested: replace(spec.requested) }
    default:
      return spec
  }
}
