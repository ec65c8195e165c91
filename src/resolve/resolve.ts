import type { Config } from '../config/config.ts'
import { runTools } from '../config/run-tools.ts'
import type { Digest } from 'oci-spec-types'
import { digestOf } from '../core/digest.ts'
import { BuildError } from '../core/errors.ts'
import { canonicalJson } from '../core/json.ts'
import { runTask } from '../core/progress.ts'
import { settleAll } from '../core/settle.ts'
import type { Lock, LockedChoice, LockedPlatform, PlatformLock } from '../lock/lock.ts'
import { withoutPlace } from '../lock/portable.ts'
import { aptKeyDigests } from './apt-sources.ts'
import type { BaseDraft } from './base-draft.ts'
import { draftBase } from './base.ts'
import type { ResolveContext } from './context.ts'
import { answerEnvironment } from './environment.ts'
import { lockGpu } from './gpu.ts'
import { resolveLauncher } from './launcher.ts'
import { formatRequirement } from '../python/requirement.ts'
import { readIndexSettings, readServerSettings } from './index-settings.ts'
import type { InstalledDistribution } from '../python/installed.ts'
import { parsePlatform } from './platform.ts'
import { resolvePackages, type ResolvedPackages } from './python-packages.ts'
import { runtimeChoice, sdkRequirement } from './sdk.ts'
import { readRequirements, requirementsKey } from './requirements.ts'
import { sourcesKey } from './sources.ts'
import type { HeadersFor } from '../python/settings/credentials.ts'
import { hubHeaders } from '../weights/hub-token.ts'
import { localWeights, resolveWeights } from '../weights/resolve-weights.ts'
import type { Requirements } from '../python/input/requirements-file.ts'
import type { ResolvedIndexSettings } from '../python/settings/index-settings.ts'

/** A project whose requirements and settings are read, and what its answers depend on. */
export interface Question {
  readonly config: Config
  readonly requirements: Requirements
  /** Which indexes are asked, and with which credentials. */
  readonly settings: ResolvedIndexSettings
  /** The same for the server's own packages. */
  readonly serverSettings: ResolvedIndexSettings
  /** Credentials for whatever is fetched: of indexes, netrc, the Hugging Face Hub. */
  readonly headers: HeadersFor
  /** Digest of all that the answers depend on; what only concerns the plan (code, labels, `run`) is no part of it. */
  readonly inputs: Digest
}

/** Reads what a resolution starts from. Asks nobody but for requirements files that are named by URL. */
export async function prepareQuestion(config: Config, context: ResolveContext): Promise<Question> {
  const requirements = await readRequirements(config, context)
  const settings = await readIndexSettings(config, requirements, context)
  const serverSettings = await readServerSettings(config, requirements, settings, context)
  if (settings.trustedHosts.length > 0) {
    context.trustHosts?.(settings.trustedHosts)
    const text = `Certificates are not checked, as \`trusted-host\` says: ${settings.trustedHosts.join(', ')}`
    context.report({ type: 'note', level: 'warning', text, code: 'TRUSTED_HOST' })
  }
  const { run: _, ...build } = config.build
  const { plan, excludeNewer, allowsPreReleases, buildLimits = [] } = settings
  const sources = await sourcesKey(requirements, context)
  const headers: HeadersFor = async (url) => ({
    ...(await settings.headers(url)),
    ...(serverSettings === settings ? {} : await serverSettings.headers(url)),
    ...(await hubHeaders(url, context.env)),
  })
  const places = Object.entries(context.env).filter(([name, value]) => PLACES.test(name) && value !== undefined)
  const inputs = digestOf(
    canonicalJson(
      withoutPlace(
        {
          build,
          runtime: config.runtime,
          ...(build.aptSources.length === 0
            ? {}
            : { aptKeys: await aptKeyDigests(build.aptSources, context.projectFolder) }),
          requirements: requirementsKey(requirements),
          ...(sources.length === 0 ? {} : { sources }),
          indexes: { plan, excludeNewer, allowsPreReleases },
          ...(serverSettings === settings ? {} : { serverIndexes: serverSettings.plan }),
          ...(buildLimits.length === 0
            ? {}
            : { buildLimits: buildLimits.map(({ requirement }) => formatRequirement(requirement)) }),
          places: Object.fromEntries(places),
          ...(config.weights.length === 0
            ? {}
            : { weights: config.weights, localWeights: await localWeights(config.weights, { ...context, headers }) }),
        },
        context.projectFolder,
      ),
    ),
  )
  return { config, requirements, settings, serverSettings, headers, inputs }
}

/** Variables that say where interpreters and CUDA images come from. */
const PLACES = /^(?:UV_PYTHON_INSTALL_MIRROR|LAYERWRIGHT_(?:INTERPRETERS|CUDA_REPOSITORY)|HF_ENDPOINT)$/

/** Python packages of a platform to keep at a version as long as it fits. */
export type Preferences = (platform: LockedPlatform) => ReadonlyMap<string, string> | undefined

/**
 * Asks the world everything that a build must know, for every platform of the project.
 *
 * @param preferences  what an earlier lock has; every package is chosen anew unless given
 * @throws BuildError as base, interpreter, index and archive say
 */
export async function resolve(
  question: Question,
  context: ResolveContext,
  preferences: Preferences = () => undefined,
): Promise<Lock> {
  const platforms: PlatformLock[] = []
  for (const text of question.config.build.platforms) {
    const platform = parsePlatform(text)
    platforms.push(
      await runTask(
        context.report,
        `resolve ${text}`,
        () => resolvePlatform(question, platform, context, preferences),
        { kind: 'resolve' },
      ),
    )
  }
  const { config, headers, inputs } = question
  const weights = await resolveWeights(config.weights, { ...context, headers })
  return { lockVersion: 1, inputs, platforms, ...(weights.length === 0 ? {} : { weights }) }
}

async function resolvePlatform(
  { config, requirements, settings, serverSettings }: Question,
  platform: LockedPlatform,
  context: ResolveContext,
  preferences: Preferences,
): Promise<PlatformLock> {
  const environment = answerEnvironment(config, requirements.requirements, requirements.options.indexUrl)
  const draft = await draftBase({ config, platform, environment }, context)
  const { interpreter, libc } = draft
  const target = { pythonVersion: interpreter.version, platform, libc }
  const { systemPackages: wanted } = config.build
  let completed: ReturnType<typeof draft.complete> | undefined
  const site = {
    platform,
    interpreter,
    libc,
    settings,
    systemPackages: wanted,
    base: () => (completed ??= draft.complete([])),
  }
  const sources = context.sources?.(site)
  const installed = config.build.systemSitePackages ? packagesOfBase(draft) : []
  const request = {
    target,
    requirements,
    environment,
    settings,
    sources,
    preferences: preferences(platform),
    installed,
    sdk: sdkRequirement(config),
  }
  const [packages, launcher] = await settleAll([
    resolvePackages(request, context),
    config.runtime === 'coglet' ? Promise.resolve([]) : resolveLauncher(target, serverSettings, context),
  ])
  const { wheels } = packages
  const { base, systemPackages, choices, environment: settled = environment.choice } = await draft.complete(wheels)
  for (const text of settled.warnings) context.report({ type: 'note', level: 'warning', text })
  return {
    platform,
    base,
    interpreter,
    libc,
    wheels,
    launcher,
    choices: [...choices, ...toolsChoice(config), ...runtimeChoice(config, wheels), ...basePackagesChoice(packages)],
    ...(systemPackages === undefined ? {} : { systemPackages }),
    ...(config.build.gpu ? { gpu: lockGpu(settled, interpreter, wheels) } : {}),
  }
}

/** What the base brings for Python. @throws BuildError NOT_SUPPORTED when the base's own interpreter is not the one used */
function packagesOfBase({ distributions, interpreter }: BaseDraft): readonly InstalledDistribution[] {
  if (distributions !== undefined) return distributions
  throw new BuildError(
    'NOT_SUPPORTED',
    `The packages of the base cannot be used: Python ${interpreter.version} is not its own interpreter`,
    { hint: "Leave `build.system_site_packages` out, or state the version of the base's own Python." },
  )
}

/** Not for tools that the project does not get, since its base is its own. */
function toolsChoice({ build }: Config): readonly LockedChoice[] {
  const tools = runTools(build.run).filter((name) => build.systemPackages.includes(name))
  if (tools.length === 0) return []
  return [{ key: 'tools', value: tools.join(', '), reason: 'commands of `build.run` call them' }]
}

function basePackagesChoice({ installed }: ResolvedPackages): readonly LockedChoice[] {
  if (installed.length === 0) return []
  const value = installed.map(({ name, version }) => `${name} ${version}`).join(', ')
  return [{ key: 'base packages', value, reason: 'the base has them, they fit, and `system_site_packages` is on' }]
}
