import type { ImageConfig, Descriptor } from 'oci-spec-types'
import type { Cache } from '../core/cache.ts'
import type { Http } from '../core/http.ts'
import type { Report } from '../core/progress.ts'
import type { DebianLock } from '../debian/lock.ts'
import type { ArchiveSource } from '../debian/source.ts'
import type { LockedBase, LockedInterpreter, LockedLibc, LockedPlatform } from '../lock/lock.ts'
import type { ResolvedIndexSettings } from '../python/settings/index-settings.ts'
import type { SourceReader } from '../python/source-package.ts'
import type { Store } from '../store/store.ts'
import type { Layer } from '../../layers/layer.ts'

/** An existing image as a base: its description is there, its layers come when they are read. */
export interface OpenedBase {
  /** Of the manifest for the platform. */
  readonly manifest: Descriptor
  readonly config: ImageConfig
  /** Lowest first. */
  readonly layers: readonly Layer[]
}

/** Where sources are built before the lock is whole: the image as it lies below the wheels. */
export interface SourceSite {
  readonly platform: LockedPlatform
  readonly interpreter: LockedInterpreter
  readonly libc: LockedLibc
  readonly settings: ResolvedIndexSettings
  /** Names of system packages that the project asks for. */
  readonly systemPackages: readonly string[]
  /** The base as it is without any wheel; asked for when something has to run. */
  readonly base: () => Promise<{
    readonly base: LockedBase
    readonly systemPackages?: DebianLock | undefined
  }>
}

/** What resolving may ask of the world. */
export interface ResolveContext {
  readonly http: Http
  /** A named space of small answers. */
  readonly cache: (space: string) => Cache
  /** Opens an image for one platform. @throws BuildError IMAGE_NOT_FOUND, PLATFORM_NOT_FOUND */
  readonly openBase: (location: string, platform: LockedPlatform) => Promise<OpenedBase>
  /** Where a file goes whose digest is learned by fetching it. */
  readonly store: Store
  /** The folder of cog.yaml. */
  readonly projectFolder: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly report: Report
  readonly now: () => number
  /** Changes where a distribution's packages come from and whose keys sign them; nothing unless given. */
  readonly archives?: ((sources: readonly ArchiveSource[]) => readonly ArchiveSource[]) | undefined
  /** Told which hosts' certificates `http` need not check, since the settings of package indexes say so. */
  readonly trustHosts?: ((hosts: readonly string[]) => void) | undefined
  /** Another lock of the launcher's packages than the shipped one. */
  readonly launcherLock?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Describes what has no wheel; absent when only wheels may be taken. */
  readonly sources?: ((site: SourceSite) => SourceReader) | undefined
}
