import type { Layer } from '../../../layers/layer.ts'
import type { Http } from '../../core/http.ts'
import type { Report } from '../../core/progress.ts'
import type { LockedImageBase } from '../../lock/lock.ts'
import type { HeadersFor } from '../../python/settings/credentials.ts'
import type { Store } from '../../store/store.ts'

/** What building sources needs of the world. */
export interface SourceContext {
  readonly store: Store
  readonly http: Http
  readonly env: Readonly<Record<string, string | undefined>>
  readonly report: Report
  readonly now: () => number
  readonly signal?: AbortSignal | undefined
  readonly projectFolder: string
  /** What builds may reach. Their requirements are fetched outside of the sandbox and need no network there. */
  readonly network: 'host' | 'none'
  readonly epochSeconds: number
  /** The layers of a base as a lock names them. */
  readonly baseLayers: (base: LockedImageBase) => readonly Layer[]
  /** Credentials for what is fetched. */
  readonly headers: HeadersFor
}
