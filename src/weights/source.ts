import type { WeightUri } from '../config/weight-uri.ts'
import type { Cache } from '../core/cache.ts'
import type { Http } from '../core/http.ts'
import type { Report } from '../core/progress.ts'
import type { Store } from '../store/store.ts'

/** What finding weights may ask of the world. */
export interface WeightsContext {
  readonly http: Http
  readonly store: Store
  /** A named space of small answers. */
  readonly cache: (space: string) => Cache
  /** The folder of cog.yaml. */
  readonly projectFolder: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly report: Report
  /** Credentials for an address; never sent to another origin. */
  readonly headers: (url: string) => Promise<Readonly<Record<string, string>>>
  readonly signal?: AbortSignal | undefined
}

/** A file that a source has. */
export interface FoundFile {
  /** Below the target, `/` between parts. */
  readonly path: string
  /** `https:`, `file:`, or `project:` for a path relative to the project. */
  readonly url: string
  /** What the file is; asks, downloads or reads no more than that takes. */
  identify(): Promise<FileIdentity>
}

/** A file's content. */
export interface FileIdentity {
  readonly sizeBytes: number
  /** Lower-case hex. */
  readonly sha256: string
}

/** What a source has now. */
export interface FoundFiles {
  /** What the revision meant, where a source has revisions. */
  readonly revision?: string
  readonly files: readonly FoundFile[]
}

/**
 * One kind of place that weights come from.
 *
 * @throws BuildError WEIGHTS_NOT_FOUND, WEIGHTS_DENIED, WEIGHTS_UNAVAILABLE, PROJECT_INVALID
 */
export type ListWeights<Kind extends WeightUri['kind']> = (
  uri: Extract<WeightUri, { kind: Kind }>,
  context: WeightsContext,
) => Promise<FoundFiles>
