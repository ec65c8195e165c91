import { isAbsolute } from 'node:path'
import type { Config } from '../config/config.ts'
import { homeFolder } from '../core/home.ts'
import type { IndexPlan } from '../python/index/client.ts'
import { loadRequirements, type Requirements } from '../python/input/requirements-file.ts'
import { normalizeName } from '../python/package-name.ts'
import { loadIndexSettings, type ResolvedIndexSettings } from '../python/settings/index-settings.ts'
import type { ResolveContext } from './context.ts'

/** The indexes of a project: cog.yaml, then its requirements files, then the settings that users of uv and pip have. */
export async function readIndexSettings(
  config: Config,
  { options }: Requirements,
  context: ResolveContext,
): Promise<ResolvedIndexSettings> {
  const { env, http, projectFolder, signal } = context
  const { url, extraUrls, packages, strategy, excludeNewer } = config.build.pythonIndex
  const nonEmpty = (list: readonly string[]): readonly string[] | undefined => (list.length === 0 ? undefined : list)
  const settings = await loadIndexSettings(
    [
      { indexUrl: url, extraIndexUrls: nonEmpty(extraUrls), excludeNewer },
      {
        indexUrl: options.indexUrl,
        extraIndexUrls: nonEmpty(options.extraIndexUrls),
        findLinks: nonEmpty(options.findLinks),
        noIndex: options.noIndex ? true : undefined,
        allowsPreReleases: options.allowsPreReleases ? true : undefined,
        trustedHosts: nonEmpty(options.trustedHosts),
      },
    ],
    { env, home: homeFolder(env), cwd: projectFolder, signal },
  )
  const plan = withPins({ ...settings.plan, ...(strategy === 'first-index' ? {} : { strategy }) }, packages)
  if (settings.buildConstraints.length === 0) return { ...settings, plan }
  const limits = await loadRequirements(settings.buildConstraints, { cwd: projectFolder, env, http, signal })
  const local = limits.files.filter((path) => isAbsolute(path))
  return { ...settings, plan, buildLimits: limits.requirements, files: [...settings.files, ...local] }
}

/**
 * The indexes that the server's own packages come from: the same, but for a `--no-index` in a requirements file, which
 * speaks of the packages beside it.
 */
export async function readServerSettings(
  config: Config,
  requirements: Requirements,
  settings: ResolvedIndexSettings,
  context: ResolveContext,
): Promise<ResolvedIndexSettings> {
  if (!requirements.options.noIndex) return settings
  const options = { ...requirements.options, noIndex: false }
  return readIndexSettings(config, { ...requirements, options }, context)
}

/** Ties packages to an index alone, over what the plan says of them. */
export function withPins(plan: IndexPlan, packages: Readonly<Record<string, string>>): IndexPlan {
  const pins = Object.entries(packages).map(([name, url]) => [normalizeName(name), withSlash(url)] as const)
  const known = new Set(plan.indexes.map(({ url }) => url))
  const added = [...new Set(pins.map(([, url]) => url))].filter((url) => !known.has(url))
  return {
    ...plan,
    indexes: [...plan.indexes, ...added.map((url) => ({ url, isExplicit: true }))],
    pins: { ...plan.pins, ...Object.fromEntries(pins) },
  }
}

function withSlash(url: string): string {
  return url.endsWith('/') ? url : `${url}/`
}
