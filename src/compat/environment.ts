import type { FrameworkRequirement } from './frameworks.ts'

/** What is asked of the environment. */
export interface EnvironmentRequest {
  readonly gpu: boolean
  /** Two or three parts. */
  readonly cuda?: string | undefined
  readonly cudnn?: string | undefined
  readonly python?: string | undefined
  /** Requirements on packages that matter here; others may be among them. */
  readonly frameworks: readonly FrameworkRequirement[]
  /** Oldest driver to run on; 525.60.13 is assumed. */
  readonly minDriver?: string | undefined
  /** Compute capabilities to run on, such as `9.0`. */
  readonly architectures?: readonly string[] | undefined
  /** Whether the base is an nvidia/cuda image, so that there must be one; yes unless told. */
  readonly needsImage?: boolean | undefined
  /** Version of the Python that the base brings by itself when there is no CUDA image, such as `3.11`. */
  readonly basePython?: string | undefined
  /** The index that the project names for all packages: without a GPU nothing is taken from elsewhere. */
  readonly projectIndex?: string | undefined
}

/** Versions that go together, with the reason for each. */
export interface EnvironmentChoice {
  readonly gpu: boolean
  /** Three parts where there are images of it. */
  readonly cuda?: string
  /** Major version. */
  readonly cudnn?: string
  /** Ubuntu release of the CUDA image, such as `24.04`. */
  readonly ubuntu?: string
  /** Two or three parts. */
  readonly python: string
  /** The build of torch, such as `cu128` or `cpu`; `default` for that of the default index. */
  readonly torchBuild?: string
  /** Indexes that packages must come from. */
  readonly indexes: readonly IndexPin[]
  /** Extras to add to requirements, by package. */
  readonly extras: Readonly<Record<string, readonly string[]>>
  /** Oldest driver on which this runs. */
  readonly driverFloor?: string
  /** Set when a framework is newer than the tables, so that its wheel decides: see `settleEnvironment`. */
  readonly awaitsLock: boolean
  readonly reasons: readonly Reason[]
  readonly warnings: readonly string[]
}

/** Packages that come from one index alone. */
export interface IndexPin {
  readonly packages: readonly string[]
  readonly url: string
  /** Whether the default index holds the same build on linux/amd64, under its plain version. */
  readonly sameAsDefault: boolean
}

/** Why a value was chosen. */
export interface Reason {
  readonly key: string
  readonly value: string
  readonly reason: string
  /** The alternative that lost, and why. */
  readonly rejected?: { readonly value: string; readonly reason: string }
}
