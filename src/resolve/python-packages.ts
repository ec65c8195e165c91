import type { Config } from '../config/config.ts'
import defaults from '../core/defaults.json' with { type: 'json' }
import type { IndexPlan } from '../python/index/client.ts'
import type { Requirements } from '../python/input/requirements-file.ts'
import type { LockedWheel } from '../python/lock.ts'
import { normalizeName } from '../python/package-name.ts'
import { parseRequirement, type Requirement } from '../python/requirement.ts'
import type { RootRequirement } from '../python/resolution-input.ts'
import { resolvePython } from '../python/resolve-python.ts'
import type { Target } from '../python/target.ts'
import type { ResolveContext } from './context.ts'
import type { EnvironmentAnswer } from './environment.ts'

/** What the project's packages are resolved from. */
export interface PackagesRequest {
  readonly config: Config
  readonly target: Target
  readonly requirements: Requirements
  readonly environment: EnvironmentAnswer
}

/**
 * Resolves the project's Python packages for one target, with pip beside them, since `run` steps and people expect it
 * (and setuptools below 3.12, which venv brings there).
 */
export async function resolvePackages(
  request: PackagesRequest,
  context: ResolveContext,
): Promise<readonly LockedWheel[]> {
  const { config, target, environment, requirements } = request
  const { constraints, options } = requirements
  const stated = requirements.requirements.map((root) => withExtras(root, environment))
  const names = new Set(stated.map(({ requirement }) => requirement.name))
  const brought = ['pip', ...(Number(target.pythonVersion.split('.')[1]) < 12 ? ['setuptools'] : [])]
  const added = brought.filter((name) => !names.has(name)).map((name) => ({ requirement: parseRequirement(name) }))
  const { excludeNewer } = config.build.pythonIndex
  const lock = await resolvePython(
    {
      target,
      // With hashes required, pip itself would have to be hashed: it is left to the project then.
      requirements: options.requiresHashes ? stated : [...stated, ...added],
      constraints,
      indexes: indexPlan(config, requirements, context, frameworkPins(request)),
      ...(excludeNewer === undefined ? {} : { excludeNewer }),
      allowsPreReleases: options.allowsPreReleases,
      requiresHashes: options.requiresHashes,
      noBinary: options.noBinary,
    },
    { http: context.http, cache: context.cache('index'), signal: context.signal, now: context.now },
  )
  return lock.packages.map((wheel) => ({ ...wheel, requested: names.has(wheel.name) }))
}

/** The indexes to ask: the project's own settings, then pip's and uv's variables, then the default. */
export function indexPlan(
  config: Config,
  { options }: Requirements,
  { env }: ResolveContext,
  framework: Readonly<Record<string, string>> = {},
): IndexPlan {
  const { url, extraUrls, packages, strategy } = config.build.pythonIndex
  const main = url ?? options.indexUrl ?? env['PIP_INDEX_URL'] ?? env['UV_INDEX_URL'] ?? defaults.pythonIndex
  const own = Object.entries(packages).map(([name, index]) => [normalizeName(name), withSlash(index)] as const)
  // What the project says of a package wins over what the tables say.
  const pins = { ...framework, ...Object.fromEntries(own) }
  const explicit = [...new Set(Object.values(pins))].map((index) => ({ url: index, isExplicit: true }))
  const simple = [...extraUrls, ...options.extraIndexUrls, ...(options.noIndex ? [] : [main])]
  return {
    indexes: [
      ...options.findLinks.map((link) => ({ url: link, kind: 'flat' as const })),
      ...simple.map((index) => ({ url: withSlash(index) })),
      ...explicit,
    ],
    strategy,
    pins,
  }
}

/** Packages that the tables tie to an index, such as the builds of torch; none where the default index has the same. */
function frameworkPins({ environment, target }: PackagesRequest): Record<string, string> {
  const pins = environment.choice.indexes.filter(
    ({ sameAsDefault }) => !(sameAsDefault && target.platform.architecture === 'amd64'),
  )
  return Object.fromEntries(
    pins.flatMap(({ packages, url }) => packages.map((name) => [name, withSlash(url)] as const)),
  )
}

function withExtras(root: RootRequirement, { choice }: EnvironmentAnswer): RootRequirement {
  const added = choice.extras[root.requirement.name]
  if (added === undefined) return root
  const requirement: Requirement = { ...root.requirement, extras: [...root.requirement.extras, ...added] }
  return { ...root, requirement }
}

function withSlash(url: string): string {
  return url.endsWith('/') ? url : `${url}/`
}
