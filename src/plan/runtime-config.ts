import type { ImageConfig } from 'oci-spec-types'
import { compareDrivers, driverFloor } from '../compat/drivers.ts'
import { requireDriver } from '../compat/require.ts'
import type { Config } from '../config/config.ts'
import type { LockedGpu } from '../lock/lock.ts'
import { formatEnvironment, joinFolders, mergeEnvironment, parseEnvironment, type Variable } from './environment.ts'

/** Where things lie in every image. */
export const LAYOUT = {
  environment: '/opt/venv',
  interpreter: '/opt/python',
  runtime: '/opt/layerwright',
  runtimeLibrary: '/opt/layerwright/lib',
  runtimePackages: '/opt/layerwright/site',
  schema: '/opt/layerwright/app/openapi.json',
  models: '/opt/layerwright/app/models.json',
  project: '/src',
} as const

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const PORT = 5000

/** What an image's execution parameters are made from. */
export interface RuntimeInput {
  readonly config: Config
  /** Predictions at once by the decorator of the predictor. */
  readonly concurrency?: number | undefined
  /** Absolute path in the image. */
  readonly interpreter: string
  /** The base's own; its environment and labels stay, the rest is decided here. */
  readonly base: ImageConfig['config']
  readonly gpu: LockedGpu | undefined
  readonly labels: Readonly<Record<string, string>>
}

/**
 * The execution parameters of an image.
 *
 * Nothing of the base is inherited by accident: environment and labels are merged (paths appended to, never replaced),
 * entrypoint, command, directory, user and port are ours. A health check and ONBUILD steps of the base are left out.
 */
export function makeRuntimeConfig(input: RuntimeInput): NonNullable<ImageConfig['config']> {
  const { config, base } = input
  return {
    ...(config.build.user === undefined ? {} : { User: config.build.user }),
    ExposedPorts: { [`${PORT}/tcp`]: {} },
    Env: formatEnvironment(makeEnvironment(input)),
    ...makeCommand(input),
    WorkingDir: LAYOUT.project,
    Labels: sortKeys({ ...base?.Labels, ...input.labels }),
    StopSignal: 'SIGTERM',
  }
}

/** What runs: our launcher, or Cog's server as Cog starts it. */
function makeCommand({
  config,
  interpreter,
}: RuntimeInput): Pick<NonNullable<ImageConfig['config']>, 'Entrypoint' | 'Cmd'> {
  if (config.runtime === 'coglet') return { Cmd: [`${LAYOUT.environment}/bin/python`, '-m', 'cog.server.http'] }
  // Isolated: no PYTHON* variable and no site-packages of the image reaches the launcher.
  return { Entrypoint: [interpreter, '-I', '-S', `${LAYOUT.runtimeLibrary}/launch.py`] }
}

/** Things of a base that are deliberately not inherited, said so that nobody has to find out. */
export function describeDropped(base: ImageConfig['config']): string[] {
  const dropped: string[] = []
  if ((base?.OnBuild ?? []).length > 0) dropped.push('ONBUILD steps of the base image are not run')
  if (base?.Healthcheck) dropped.push("the base image's health check is left out; ask GET /health-check instead")
  if (base?.Volumes && Object.keys(base.Volumes).length > 0) dropped.push('volumes of the base image are left out')
  return dropped
}

function makeEnvironment({ config, concurrency = 1, base, gpu }: RuntimeInput): Variable[] {
  const inherited = parseEnvironment(base?.Env ?? [])
  const valueOf = (name: string): string | undefined => inherited.find((variable) => variable.name === name)?.value
  const ours: Variable[] = [
    { name: 'PATH', value: joinFolders(valueOf('PATH') ?? DEFAULT_PATH, { before: [`${LAYOUT.environment}/bin`] }) },
    { name: 'VIRTUAL_ENV', value: LAYOUT.environment },
    { name: 'PYTHONUNBUFFERED', value: '1' },
  ]
  if (config.run !== undefined) ours.push({ name: 'COG_PREDICT_TYPE_STUB', value: config.run })
  if (config.train !== undefined) ours.push({ name: 'COG_TRAIN_TYPE_STUB', value: config.train })
  // Our launcher reads the decorator itself; Cog's server hears of it through the image only.
  const baked = config.runtime === 'coglet' && concurrency > 1 ? concurrency : undefined
  const max = config.concurrency?.max ?? baked
  if (max !== undefined) ours.push({ name: 'COG_MAX_CONCURRENCY', value: String(max) })
  if (config.batch !== undefined && config.runtime !== 'coglet') {
    ours.push({ name: 'LAYERWRIGHT_BATCH_SIZE', value: String(config.batch.maxSize) })
    ours.push({ name: 'LAYERWRIGHT_BATCH_WAIT_MS', value: String(config.batch.maxWaitMs) })
  }
  if (config.tracing !== undefined) ours.push(...traceVariables(config.tracing, config.runtime))
  if (gpu !== undefined) ours.push(...gpuVariables(gpu, valueOf))
  return mergeEnvironment(mergeEnvironment(inherited, ours), config.environment)
}

/** Cog's variables; where spans go is said where the image runs. */
function traceVariables(tracing: NonNullable<Config['tracing']>, runtime: Config['runtime']): Variable[] {
  const { sampler, samplerArgument, header, headerFormat, providerFile } = tracing
  // Cog's server takes this file from a place of its own alone.
  const provider = providerFile === undefined || runtime === 'coglet' ? undefined : `${LAYOUT.project}/${providerFile}`
  const variables = {
    COG_TRACE_CONFIGURED: 'true',
    COG_TRACE_SAMPLER: sampler,
    COG_TRACE_SAMPLER_ARG: samplerArgument,
    COG_TRACE_HEADER: header,
    COG_TRACE_HEADER_FORMAT: headerFormat,
    COG_OBSERVABILITY_CONFIG: provider,
  }
  return Object.entries(variables).flatMap(([name, value]) => (value === undefined ? [] : [{ name, value }]))
}

/** The contract between an image and whatever gives it GPUs (nvidia-container-toolkit, CDI), on any base. */
function gpuVariables(gpu: LockedGpu, valueOf: (name: string) => string | undefined): Variable[] {
  // Where the toolkit's legacy mode and some clouds mount the driver; CUDA images have both folders.
  const driverFolders = ['/usr/local/nvidia/lib', '/usr/local/nvidia/lib64']
  const requireCuda = driverConstraint(gpu, valueOf)
  return [
    { name: 'NVIDIA_VISIBLE_DEVICES', value: 'all' },
    { name: 'NVIDIA_DRIVER_CAPABILITIES', value: valueOf('NVIDIA_DRIVER_CAPABILITIES') ?? 'compute,utility' },
    ...(requireCuda === undefined ? [] : [{ name: 'NVIDIA_REQUIRE_CUDA', value: requireCuda }]),
    {
      name: 'LD_LIBRARY_PATH',
      value: joinFolders(valueOf('LD_LIBRARY_PATH'), { after: [...driverFolders, ...gpu.libraryFolders] }),
    },
  ]
}

/**
 * What a base says of drivers is kept, unless the wheels need a newer family of them; on any other base, the floor that holds
 * without NVIDIA's compatibility libraries.
 */
function driverConstraint(
  { driverFloor: floor }: LockedGpu,
  valueOf: (name: string) => string | undefined,
): string | undefined {
  const own = valueOf('NVIDIA_REQUIRE_CUDA')
  if (floor === undefined) return own
  const ofBase = driverFloor(valueOf('CUDA_VERSION') ?? '')
  const isRaised = ofBase !== undefined && compareDrivers(floor, ofBase) > 0
  return own === undefined || isRaised ? requireDriver(floor) : own
}

function sortKeys(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
}
