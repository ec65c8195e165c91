import { BuildError, isBuildError } from '../../core/errors.ts'
import type { LockedWheel } from '../../python/lock.ts'
import { holds } from '../../python/metadata.ts'
import { parseRequirement } from '../../python/requirement.ts'
import { resolvePython } from '../../python/resolve-python.ts'
import { targetMarkers, type Target } from '../../python/target.ts'
import type { ResolvedIndexSettings } from '../../python/settings/index-settings.ts'
import type { SourceReader } from '../../python/source-package.ts'
import type { SourceContext } from './context.ts'

/** For whom build requirements are resolved, and where. */
export interface RequirementsSite {
  readonly target: Target
  readonly settings: Pick<ResolvedIndexSettings, 'plan' | 'excludeNewer' | 'headers' | 'buildLimits'>
}

/**
 * Resolves what a build requires, in an environment apart from the project's.
 *
 * @param title names the source in errors
 * @param sources describes what has no wheel; only wheels are taken unless given
 * @throws BuildError RESOLVE_CONFLICT, WHEEL_NOT_FOUND, ... saying for whose build
 */
export async function resolveBuildRequirements(
  texts: readonly string[],
  title: string,
  { target, settings }: RequirementsSite,
  context: SourceContext,
  sources?: SourceReader,
): Promise<readonly LockedWheel[]> {
  const environment = targetMarkers(target)
  const stated = texts.map(parseRequirement).filter((requirement) => holds(requirement, environment, ''))
  // Releases below 70.1 ask for it when they are asked; one round less.
  const names = new Set(stated.map(({ name }) => name))
  const added = names.has('setuptools') && !names.has('wheel') ? [parseRequirement('wheel')] : []
  if (stated.length === 0) return []
  try {
    const lock = await resolvePython(
      {
        target,
        requirements: [...stated, ...added].map((requirement) => ({ requirement })),
        ...(settings.buildLimits === undefined ? {} : { constraints: settings.buildLimits }),
        indexes: settings.plan,
        ...(settings.excludeNewer === undefined ? {} : { excludeNewer: settings.excludeNewer }),
      },
      {
        http: context.http,
        cache: context.store.cache('python'),
        headers: settings.headers,
        signal: context.signal,
        now: context.now,
        ...(sources === undefined ? {} : { sources }),
      },
    )
    return lock.packages
  } catch (error) {
    if (!isBuildError(error)) throw error
    throw new BuildError(error.code, `What the build of \`${title}\` requires cannot be had: ${error.message}`, {
      hint: error.hint,
      cause: error,
    })
  }
}
