import type { Compression } from '../../layers/compress.ts'
import type { Layer } from '../../layers/layer.ts'
import type { Http } from '../core/http.ts'
import type { Report } from '../core/progress.ts'
import type { ImageFormat } from '../image/make-image.ts'
import type { LockedImageBase, LockedPlatform } from '../lock/lock.ts'
import type { SharedLayerStore } from '../remote-cache/shared-layer-store.ts'
import type { OpenedBase, ResolveContext } from '../resolve/context.ts'
import type { Store } from '../store/store.ts'
import type { LockOptions } from './obtain-lock.ts'
import type { BasisMemory } from './plan-basis.ts'
import type { LookAtState } from './project-state.ts'
import type { Secret } from './secrets.ts'

/** What a build needs of the world. */
export interface BuildContext {
  readonly store: Store
  readonly http: Http
  readonly env: Readonly<Record<string, string | undefined>>
  readonly report: Report
  readonly now: () => number
  /** See `ResolveContext`. */
  readonly trustHosts?: ((hosts: readonly string[]) => void) | undefined
  readonly signal?: AbortSignal | undefined
  /** Changes where a distribution's packages come from and whose keys sign them; nothing unless given. */
  readonly archives?: ResolveContext['archives']
  /** Another lock of the launcher's packages than the shipped one. */
  readonly launcherLock?: string | undefined
  /** Layers shared with others, through registries. */
  readonly shared?: SharedLayerStore | undefined
  /** False: the store is in memory, and layers are sent on while they are made. True unless given. */
  readonly isKeeping?: boolean | undefined
  /** Opens an existing image for one platform. */
  readonly openBase: (location: string, platform: LockedPlatform) => Promise<OpenedBase>
  /** The layers of a base as a lock names them; asks nobody until one is read. */
  readonly baseLayers: (base: LockedImageBase) => readonly Layer[]
}

/** What is to be built. */
export interface BuildRequest extends LockOptions {
  /** Folder of the project, or its cog.yaml. */
  readonly project: string
  /** Platforms in place of the configuration's. */
  readonly platforms?: readonly ('linux/amd64' | 'linux/arm64')[] | undefined
  readonly format: ImageFormat
  /** Build secrets by id. */
  readonly secrets?: ReadonlyMap<string, Secret> | undefined
  /** What `run` steps and builds of packages may reach; `host` unless given. */
  readonly network?: 'host' | 'none' | undefined
  /** False when caches of `run` steps begin empty, and are not kept. */
  readonly keepsStepCaches?: boolean | undefined
  /** Of layers that are made, where a destination says nothing else; `gzip` unless given. The base's stay as they are. */
  readonly compression?: Compression | undefined
  /** Index the image, so that lazy snapshotters can start it before it is pulled; needs gzip and the OCI format. */
  readonly isLazy?: boolean | undefined
  /** Make the layers whose digests the lock file knows all the same, and compare. */
  readonly isVerifying?: boolean | undefined
  /** False when packages may only be had as wheels. */
  readonly buildsSources?: boolean | undefined
  /** Remembers configuration and answers, for a change of code alone; used with the mode `auto` and `locked`. */
  readonly memory?: BasisMemory | undefined
  /** Looks at the project, or has done so; anew unless given. */
  readonly look?: LookAtState | undefined
}
