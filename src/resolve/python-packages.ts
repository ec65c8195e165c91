import type { Requirements } from '../python/input/requirements-file.ts'
import type { LockedWheel } from '../python/lock.ts'
import { parseRequirement } from '../python/requirement.ts'
import { resolvePython } from '../python/resolve-python.ts'
import type { ResolvedIndexSettings } from '../python/settings/index-settings.ts'
import type { Target } from '../python/target.ts'
import type { ResolveContext } from './context.ts'
import type { EnvironmentAnswer } from './environment.ts'
import { fitRequirement } from './fit-requirement.ts'
import { withPins } from './index-settings.ts'

/** What the project's packages are resolved from. */
export interface PackagesRequest {
  readonly target: Target
  readonly requirements: Requirements
  readonly environment: EnvironmentAnswer
  readonly settings: ResolvedIndexSettings
}

/**
 * Resolves the project's Python packages for one target, with pip beside them, since `run` steps and people expect it
 * (and setuptools below 3.12, which venv brings there).
 */
export async function resolvePackages(
  request: PackagesRequest,
  context: ResolveContext,
): Promise<readonly LockedWheel[]> {
  const { target, environment, requirements, settings } = request
  const { constraints, options } = requirements
  const stated = requirements.requirements.map((root) => fitRequirement(root, environment.choice))
  const names = new Set(stated.map(({ requirement }) => requirement.name))
  const brought = ['pip', ...(Number(target.pythonVersion.split('.')[1]) < 12 ? ['setuptools'] : [])]
  const added = brought.filter((name) => !names.has(name)).map((name) => ({ requirement: parseRequirement(name) }))
  const lock = await resolvePython(
    {
      target,
      // With hashes required, pip itself would have to be hashed: it is left to the project then.
      requirements: options.requiresHashes ? stated : [...stated, ...added],
      constraints,
      // What the user says of a package wins over what the tables say.
      indexes: withPins(withPins(settings.plan, frameworkPins(request)), settings.plan.pins),
      ...(settings.excludeNewer === undefined ? {} : { excludeNewer: settings.excludeNewer }),
      allowsPreReleases: settings.allowsPreReleases,
      requiresHashes: options.requiresHashes,
      noBinary: options.noBinary,
    },
    {
      http: context.http,
      cache: context.cache('python'),
      headers: settings.headers,
      signal: context.signal,
      now: context.now,
    },
  )
  return lock.packages.map((wheel) => ({ ...wheel, requested: names.has(wheel.name) }))
}

/** Packages that the tables tie to an index, such as the builds of torch; none where the default index has the same. */
function frameworkPins({ environment, target }: PackagesRequest): Record<string, string> {
  const pins = environment.choice.indexes.filter(
    ({ sameAsDefault }) => !(sameAsDefault && target.platform.architecture === 'amd64'),
  )
  return Object.fromEntries(pins.flatMap(({ packages, url }) => packages.map((name) => [name, url] as const)))
}
