import type { PipelineValue } from './pipeline-value.ts'

/** A validated cog.yaml as plain data: defaults applied, aliases of keys resolved, nothing left to check. */
export interface Config {
  readonly build: BuildConfig
  /** The image name asked for; without one see `defaultImageName`. */
  readonly image?: string
  readonly model?: string
  /** `file.py:Name`; from `run`, or from its former name `predict`. */
  readonly run?: string
  /** Several models by name, in place of `run`. */
  readonly models?: Readonly<Record<string, ModelConfig>>
  /** Pipelines of them, by name. */
  readonly pipelines?: Readonly<Record<string, PipelineConfig>>
  readonly train?: string
  readonly concurrency?: ConcurrencyConfig
  /** Requests gathered into one call. */
  readonly batch?: { readonly maxSize: number; readonly maxWaitMs: number }
  /** Where the image is to trace. */
  readonly tracing?: TracingConfig
  /** In the order of the file; names are unique. */
  readonly environment: readonly EnvironmentVariable[]
  readonly weights: readonly WeightConfig[]
  readonly runtime: 'layerwright' | 'coglet'
}

/** How many predictions run at once, and how many an autoscaler aims at. */
export interface ConcurrencyConfig {
  readonly max: number
  readonly defaultTarget?: number
}

/** One model of several. */
export interface ModelConfig {
  /** `file.py:Name`. */
  readonly run: string
  readonly concurrency?: ConcurrencyConfig
}

/** What runs, in order. */
export interface PipelineConfig {
  readonly steps: readonly (StepConfig | ParallelConfig)[]
  /** The output of the last step unless given. */
  readonly output?: PipelineValue
}

/** One model, run with some inputs. */
export interface StepConfig {
  /** Unique in the pipeline. */
  readonly name: string
  readonly model: string
  /** Made from what comes before unless given. */
  readonly input?: Readonly<Record<string, PipelineValue>>
  readonly each?: PipelineValue
  readonly when?: PipelineValue
  readonly optional?: true
  /** Where it stands in the cog.yaml, for messages. */
  readonly path: readonly (string | number)[]
}

/** Steps that run at the same time. */
export interface ParallelConfig {
  readonly parallel: readonly StepConfig[]
}

/** What the image says of traces; the collector is named where it runs. */
export interface TracingConfig {
  /** One of OpenTelemetry's samplers. */
  readonly sampler?: string
  /** As written, `0` to `1`. */
  readonly samplerArgument?: string
  readonly header?: string
  readonly headerFormat?: string
  /** A file of the project, relative to its folder. */
  readonly providerFile?: string
}

/** How the image is made. */
export interface BuildConfig {
  readonly gpu: boolean
  /** Two or three parts, such as `12.8`. */
  readonly cuda?: string
  readonly cudnn?: string
  /** Two or three parts; when absent, the choice follows the frameworks. */
  readonly pythonVersion?: string
  /** As written: relative to the project folder, or absolute. */
  readonly pythonRequirements?: string
  /** Requirement lines. */
  readonly pythonPackages: readonly string[]
  readonly systemPackages: readonly string[]
  /** The steps of `run`, then those of `pre_install`. */
  readonly run: readonly RunStep[]
  readonly sdkVersion?: string
  readonly base: BaseKind
  readonly baseImage?: string
  readonly cudaFlavour: 'auto' | CudaFlavourName
  readonly debian: { readonly release?: 'bookworm' | 'trixie'; readonly snapshot?: string; readonly mirror?: string }
  readonly interpreter:
    | { readonly kind: 'auto' | 'base' | 'debian' }
    | { readonly kind: 'archive'; readonly url: string; readonly sha256: string }
  /** At least one. */
  readonly platforms: readonly ('linux/amd64' | 'linux/arm64')[]
  /** Architectures as compute capabilities, such as `9.0`. */
  readonly targets: { readonly architectures: readonly string[]; readonly minDriver?: string }
  readonly pythonIndex: PythonIndexConfig
  readonly extras: readonly string[]
  readonly groups: readonly string[]
  readonly systemSitePackages: boolean
  /** Compiles Python packages while building. */
  readonly bytecode: boolean
  readonly aptSources: readonly AptSourceConfig[]
  readonly user?: string
}

/** What the image stands on; `auto` is `cuda` with a GPU and `debian` without. */
export type BaseKind = 'auto' | 'cuda' | 'slim' | 'python-slim' | 'debian'

/** A flavour of the nvidia/cuda images. */
export type CudaFlavourName = 'base' | 'runtime' | 'cudnn-runtime' | 'devel' | 'cudnn-devel'

/** What a command sees for as long as it runs, at an absolute path; no layer holds it. */
export type StepMount =
  | { readonly type: 'secret'; readonly id: string; readonly target: string }
  /** A folder that is empty at first. */
  | { readonly type: 'tmpfs'; readonly target: string }
  | CacheMount

/** A folder that is kept from build to build, as `--mount=type=cache` of a Dockerfile. */
export interface CacheMount {
  readonly type: 'cache'
  readonly target: string
  /** What names it; the target unless given. */
  readonly id?: string
  /** Commands that run at once: all of them in one folder (unless given), each in one of its own, or one after the other. */
  readonly sharing?: 'shared' | 'private' | 'locked'
  /** Of the folder when it is new: 0o755 and root's unless given. */
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly isReadOnly?: boolean
}

/** One shell command. */
export interface RunStep {
  readonly command: string
  readonly mounts: readonly StepMount[]
}

/** One variable; the value holds any text but NUL. */
export interface EnvironmentVariable {
  readonly name: string
  readonly value: string
}

/** Where Python packages come from, as far as the project says. */
export interface PythonIndexConfig {
  readonly url?: string
  readonly extraUrls: readonly string[]
  /** Package name as written -> index URL. */
  readonly packages: Readonly<Record<string, string>>
  readonly strategy: 'first-index' | 'unsafe-best-match'
  readonly excludeNewer?: string
}

/** One further package archive. */
export interface AptSourceConfig {
  /** Without trailing slash. */
  readonly url: string
  /** Ends with `/` for a flat archive. */
  readonly suite: string
  /** None for a flat archive. */
  readonly components: readonly string[]
  readonly key: AptKeyConfig
}

/** Where the OpenPGP key of an archive is: a file relative to the project, an address, or in the configuration itself. */
export type AptKeyConfig =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'url'; readonly url: string; readonly sha256: string }
  | { readonly kind: 'inline'; readonly text: string }

/** A folder of weights. */
export interface WeightConfig {
  readonly name: string
  readonly target: string
  readonly sources: readonly {
    readonly uri: string
    readonly include: readonly string[]
    readonly exclude: readonly string[]
  }[]
}
