import { applyLockFile } from '../python/formats/lock-file.ts'
import type { Requirements } from '../python/input/requirements-file.ts'
import type { InstalledDistribution } from '../python/installed.ts'
import type { LockedWheel, PythonLock } from '../python/lock.ts'
import { parseRequirement } from '../python/requirement.ts'
import type { RootRequirement } from '../python/resolution-input.ts'
import { ResolveError } from '../python/resolve-error.ts'
import { resolvePython } from '../python/resolve-python.ts'
import type { SourceReader } from '../python/source-package.ts'
import type { ResolvedIndexSettings } from '../python/settings/index-settings.ts'
import type { Target } from '../python/target.ts'
import type { ResolveContext } from './context.ts'
import type { EnvironmentAnswer } from './environment.ts'
import { fitRequirement } from './fit-requirement.ts'
import { withPins } from './index-settings.ts'
import { BROUGHT_ALONG } from './requirements.ts'
import type { Sdk } from './sdk.ts'
import { nameSources } from './sources.ts'

/** What the project's packages are resolved from. */
export interface PackagesRequest {
  readonly target: Target
  readonly requirements: Requirements
  readonly environment: EnvironmentAnswer
  readonly settings: ResolvedIndexSettings
  /** Versions to keep as long as they fit, by normalised name. */
  readonly preferences?: ReadonlyMap<string, string> | undefined
  /** Cog's SDK, when the image runs Cog's own server. */
  readonly sdk?: Sdk | undefined
  /** Describes what has no wheel; absent when only wheels may be taken. */
  readonly sources?: SourceReader | undefined
  /** What the base has and the environment sees; `pip` and `setuptools` are brought all the same. */
  readonly installed?: readonly InstalledDistribution[] | undefined
}

/** The packages of an environment. */
export interface ResolvedPackages {
  /** To be laid down, sorted by name. */
  readonly wheels: readonly LockedWheel[]
  /** Used as the base has them, sorted by name. */
  readonly installed: NonNullable<PythonLock['installed']>
}

/**
 * The project's Python packages for one target, with pip beside them: resolved, or as another tool's lock has them.
 */
export async function resolvePackages(request: PackagesRequest, context: ResolveContext): Promise<ResolvedPackages> {
  const { target, environment, requirements } = request
  if (requirements.lock !== undefined) return applyLock(requirements.lock, request, context)
  const { options } = requirements
  const named = await nameSources(requirements.sources, target, request.sources)
  const stated = [...requirements.requirements.map((root) => fitRequirement(root, environment.choice)), ...named]
  const names = new Set(stated.map(({ requirement }) => requirement.name))
  const added = broughtAlong(request).filter(({ requirement }) => !names.has(requirement.name))
  // With hashes required, pip itself would have to be hashed: it is left to the project then.
  const asked = options.requiresHashes ? [] : added
  const { packages, installed = [] } = await resolveWith(asked, stated, request, context)
  const wheels = packages.map((wheel) => ({ ...wheel, requested: names.has(wheel.name) }))
  const { sdk } = request
  if (sdk === undefined || !isApart(request)) return { wheels, installed }
  return { wheels: await addRoots(wheels, [sdk.root], requestApart(wheels, request), context), installed }
}

/** A folder of wheels need not have pip: what no index has is left out then, with a note, if the project names it nowhere. */
async function resolveWith(
  added: readonly RootRequirement[],
  stated: readonly RootRequirement[],
  request: PackagesRequest,
  context: ResolveContext,
): Promise<PythonLock> {
  try {
    return await resolveRoots([...stated, ...added], request, context)
  } catch (error) {
    if (!(error instanceof ResolveError) || error.code !== 'PACKAGE_NOT_FOUND') throw error
    const isMissing = ({ requirement: { name } }: RootRequirement): boolean =>
      VENV_PACKAGES.has(name) && error.sentences.some((text) => text.includes(`\`${name}\`, which no index has`))
    const missing = added.filter(isMissing)
    if (missing.length === 0) throw error
    const found = await resolveRoots([...stated, ...added.filter((root) => !isMissing(root))], request, context)
    const names = missing.map(({ requirement }) => `\`${requirement.name}\``).join(' and ')
    context.report({ type: 'note', level: 'info', text: `No index has ${names}: the image goes without` })
    return found
  }
}

/** Cog's SDK is no line of the project's: neither must its hash be stated, nor do its pre-releases admit others. */
function isApart({ sdk, requirements }: PackagesRequest): boolean {
  return sdk?.allowsPreReleases === true || requirements.options.requiresHashes
}

/** The SDK beside packages that stay as they were chosen. */
function requestApart(packages: readonly LockedWheel[], request: PackagesRequest): PackagesRequest {
  const { requirements, settings, sdk } = request
  return {
    ...request,
    requirements: {
      ...requirements,
      constraints: packages.map(({ name, version }) => ({ requirement: parseRequirement(`${name}==${version}`) })),
      options: { ...requirements.options, requiresHashes: false },
    },
    settings: { ...settings, allowsPreReleases: settings.allowsPreReleases || sdk?.allowsPreReleases === true },
  }
}

/** Adds packages that were chosen apart; what is there already stays. */
async function addRoots(
  packages: readonly LockedWheel[],
  roots: readonly RootRequirement[],
  request: PackagesRequest,
  context: ResolveContext,
): Promise<readonly LockedWheel[]> {
  const names = new Set(packages.map(({ name }) => name))
  const missing = roots.filter(({ requirement }) => !names.has(requirement.name))
  const added = missing.length === 0 ? [] : (await resolveRoots(missing, request, context)).packages
  const others = added.filter(({ name }) => !names.has(name)).map((wheel) => ({ ...wheel, requested: false }))
  return [...packages, ...others].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** What another tool locked, with pip beside it. */
async function applyLock(
  lock: NonNullable<Requirements['lock']>,
  request: PackagesRequest,
  context: ResolveContext,
): Promise<ResolvedPackages> {
  const { target, settings } = request
  const { extras = [], groups = [] } = lock
  const access = { http: context.http, headers: settings.headers, signal: context.signal }
  const applied = await applyLockFile(lock, { target, extras, groups }, access)
  const packages = applied.packages.filter(({ name }) => !BROUGHT_ALONG.has(name))
  const { sdk } = request
  const wheels = await addRoots(packages, broughtAlong(request), request, context)
  const isDone = sdk === undefined || !isApart(request)
  return {
    wheels: isDone ? wheels : await addRoots(wheels, [sdk.root], requestApart(wheels, request), context),
    installed: [],
  }
}

const VENV_PACKAGES: ReadonlySet<string> = new Set(['pip', 'setuptools'])

/** pip, since `run` steps and people expect it, and setuptools below 3.12, which venv brings there. */
function broughtAlong(request: PackagesRequest): readonly RootRequirement[] {
  const { target, sdk } = request
  const names = [...VENV_PACKAGES].filter((name) => name === 'pip' || Number(target.pythonVersion.split('.')[1]) < 12)
  return [
    ...names.map((name) => ({ requirement: parseRequirement(name) })),
    ...(sdk === undefined || isApart(request) ? [] : [sdk.root]),
  ]
}

function resolveRoots(
  roots: readonly RootRequirement[],
  request: PackagesRequest,
  context: ResolveContext,
): Promise<PythonLock> {
  const { target, requirements, settings, preferences, installed = [] } = request
  const { constraints, options } = requirements
  return resolvePython(
    {
      target,
      requirements: roots,
      constraints,
      // What the user says of a package wins over what the tables say.
      indexes: withPins(withPins(settings.plan, frameworkPins(request)), settings.plan.pins),
      ...(settings.excludeNewer === undefined ? {} : { excludeNewer: settings.excludeNewer }),
      allowsPreReleases: settings.allowsPreReleases,
      requiresHashes: options.requiresHashes,
      noBinary: options.noBinary,
      ...(preferences === undefined ? {} : { preferences }),
      onlyBinary: options.onlyBinary,
      installed: installed.filter(({ path }) => !/\/(?:pip|setuptools)-[^/]+(?:\/[^/]+)?$/.test(path)),
    },
    {
      http: context.http,
      cache: context.cache('python'),
      headers: settings.headers,
      signal: context.signal,
      now: context.now,
      sources: request.sources,
      report: context.report,
    },
  )
}

/** Packages that the tables tie to an index, such as the builds of torch; none where the default index has the same. */
function frameworkPins({ environment, target }: PackagesRequest): Record<string, string> {
  const pins = environment.choice.indexes.filter(
    ({ sameAsDefault }) => !(sameAsDefault && target.platform.architecture === 'amd64'),
  )
  return Object.fromEntries(pins.flatMap(({ packages, url }) => packages.map((name) => [name, url] as const)))
}
