import type { TreeLayerSpec } from '../../layers/kinds/tree.ts'
import type { Project } from '../../layers/project-list.ts'
import type { Config } from '../config/config.ts'
import type { MembersDocument } from '../pipelines/describe-project.ts'
import type { LockedWeights, PlatformLock } from '../lock/lock.ts'
import type { PlannedLayer } from './plan.ts'

/** What a plan is made from. All of it plain data. */
export interface PlanInput {
  readonly config: Config
  readonly lock: PlatformLock
  readonly project: Project
  /** Weights that are laid where cog.yaml says; in the project they are left out. */
  readonly weights?: readonly LockedWeights[] | undefined
  /** Layers of a base that is composed here, lowest first; empty for an existing image. */
  readonly baseLayers: readonly PlannedLayer[]
  /** Layers of system packages above the base, lowest first. */
  readonly systemLayers: readonly PlannedLayer[]
  /** The files of the launcher, the model process and the `cog` module. */
  readonly runtimeTree: TreeLayerSpec
  /** The OpenAPI document, as the server serves it; absent for a project without a predictor. */
  readonly openapi?: string | undefined
  /** The document of the default of several models, for the label; absent for one. */
  readonly defaultOpenapi?: string | undefined
  /** What the launcher is told of several models; absent for one. */
  readonly members?: MembersDocument | undefined
  /** Predictions at once by the decorator of the predictor; 1 unless given. */
  readonly concurrency?: number | undefined
  readonly revision?: { readonly commit: string; readonly ref?: string | undefined } | undefined
  /** Version of this program. */
  readonly version: string
  /** Seconds since the epoch that the image says it was made at. */
  readonly createdSeconds: number
}
