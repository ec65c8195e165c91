import { posix } from 'node:path'
import type { AptSourceConfig, BuildConfig, Config, EnvironmentVariable, WeightConfig } from './config.ts'
import { makeConcurrency, makeMembers } from './make-pipelines.ts'
import { takeRunFlags } from './run-flags.ts'
import { runTools } from './run-tools.ts'
import type { CogYaml } from './schema.ts'
import { packagesOf } from './system-packages.ts'

type BuildYaml = NonNullable<CogYaml['build']>
type AptSourceYaml = NonNullable<BuildYaml['apt_sources']>[number]
type WeightYaml = NonNullable<CogYaml['weights']>[number]

/** Applies defaults and resolves the forms that a cog.yaml may take into one. Pure. */
export function makeConfig(yaml: CogYaml): Config {
  const { image, model, train } = yaml
  const run = yaml.run ?? yaml.predict
  return {
    build: makeBuild(yaml.build ?? {}),
    ...(image === undefined ? {} : { image }),
    ...(model === undefined ? {} : { model }),
    ...(run === undefined ? {} : { run }),
    ...makeMembers(yaml),
    ...(train === undefined ? {} : { train }),
    ...(yaml.concurrency === undefined ? {} : { concurrency: makeConcurrency(yaml.concurrency) }),
    ...(yaml.batch === undefined
      ? {}
      : { batch: { maxSize: yaml.batch.max_size, maxWaitMs: yaml.batch.max_wait_ms ?? 10 } }),
    ...makeTracing(yaml.observability),
    environment: (yaml.environment ?? []).map(parseEnvironment),
    weights: (yaml.weights ?? []).map(makeWeight),
    runtime: yaml.runtime ?? 'layerwright',
  }
}

function makeTracing({ traces, config }: NonNullable<CogYaml['observability']> = {}): Pick<Config, 'tracing'> {
  if (traces?.enabled !== true) return {}
  const tracing = given({
    sampler: traces.sampler,
    samplerArgument: traces.sampler_arg,
    header: traces.trace_header,
    headerFormat: traces.trace_header_format,
    providerFile: config === undefined ? undefined : posix.normalize(config),
  })
  return { tracing }
}

function makeBuild(yaml: BuildYaml): BuildConfig {
  const optional = {
    cuda: yaml.cuda,
    cudnn: yaml.cudnn,
    pythonVersion: yaml.python_version,
    pythonRequirements: yaml.python_requirements,
    sdkVersion: yaml.sdk_version,
    baseImage: yaml.base_image,
    user: yaml.user,
  }
  const run = [...(yaml.run ?? []), ...(yaml.pre_install ?? [])].map((step) => {
    const { command, mounts } = takeRunFlags(typeof step === 'string' ? step : step.command)
    return { command, mounts: [...(typeof step === 'string' ? [] : (step.mounts ?? [])), ...mounts] }
  })
  // What an image of the project's own choice lacks is the project's to say: it may not even have dpkg.
  const tools = yaml.base_image === undefined ? runTools(run) : []
  return {
    gpu: yaml.gpu ?? false,
    ...given(optional),
    pythonPackages: yaml.python_packages ?? [],
    systemPackages: [...new Set([...(yaml.system_packages ?? []).flatMap(packagesOf), ...tools])],
    run,
    base: yaml.base ?? 'auto',
    cudaFlavour: yaml.cuda_flavour ?? 'auto',
    debian: given({ release: yaml.debian?.release, snapshot: yaml.debian?.snapshot, mirror: yaml.debian?.mirror }),
    interpreter: makeInterpreter(yaml.interpreter),
    platforms: [...new Set(yaml.platforms ?? ['linux/amd64' as const])],
    targets: {
      architectures: (yaml.targets?.architectures ?? []).map(formatCapability),
      ...given({ minDriver: yaml.targets?.min_driver }),
    },
    pythonIndex: {
      ...given({ url: yaml.python_index?.url, excludeNewer: yaml.python_index?.exclude_newer }),
      extraUrls: yaml.python_index?.extra_urls ?? [],
      packages: yaml.python_index?.packages ?? {},
      strategy: yaml.python_index?.strategy ?? 'first-index',
    },
    extras: yaml.extras ?? [],
    groups: yaml.groups ?? [],
    systemSitePackages: yaml.system_site_packages ?? false,
    bytecode: yaml.bytecode ?? false,
    aptSources: (yaml.apt_sources ?? []).map(makeAptSource),
  }
}

function makeAptSource({ url, suite, components = [], key }: AptSourceYaml): AptSourceConfig {
  return { url: url.replace(/\/+$/, ''), suite, components, key: makeAptKey(key) }
}

function makeAptKey(key: AptSourceYaml['key']): AptSourceConfig['key'] {
  if (typeof key !== 'string') return { kind: 'url', ...key }
  return isArmoredKey(key) ? { kind: 'inline', text: key } : { kind: 'file', path: key }
}

/** Tells a key written into the configuration from the name of a file. */
export function isArmoredKey(text: string): boolean {
  return text.trimStart().startsWith('-----BEGIN PGP')
}

function makeInterpreter(yaml: BuildYaml['interpreter']): BuildConfig['interpreter'] {
  if (yaml === undefined) return { kind: 'auto' }
  return typeof yaml === 'string' ? { kind: yaml } : { kind: 'archive', url: yaml.url, sha256: yaml.sha256 }
}

/** `sm_90` and `9.0` are both `9.0`; the letter of `sm_90a` names a feature set of the same GPU. */
function formatCapability(text: string): string {
  const digits = /^sm_(\d+)(\d)/.exec(text)
  return digits === null ? text : `${digits[1]}.${digits[2]}`
}

/** Cuts `NAME=value` at the first `=`. */
export function parseEnvironment(text: string): EnvironmentVariable {
  const cut = text.indexOf('=')
  return { name: text.slice(0, cut), value: text.slice(cut + 1) }
}

function makeWeight(yaml: WeightYaml): WeightConfig {
  const sources = Array.isArray(yaml.source) ? yaml.source : [yaml.source]
  return {
    name: yaml.name,
    target: posix.resolve(yaml.target),
    sources: sources.map(({ uri, include, exclude }) => ({ uri, include: include ?? [], exclude: exclude ?? [] })),
  }
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

/** Leaves out what is not there, so that equal configurations are equal as JSON. */
function given<T extends object>(values: T): Given<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Given<T>
}
