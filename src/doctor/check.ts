import type { Http } from '../core/http.ts'
import type { LoadedConfig } from '../config/load.ts'

/** What a check found. */
export interface Finding {
  readonly status: 'ok' | 'warning' | 'error' | 'skipped'
  /** One sentence. */
  readonly message: string
  /** What to do, for warnings and errors. */
  readonly remedy?: string
  /** Puts it right and says what was done; only what cannot do harm. */
  readonly fix?: () => Promise<string>
}

/** One thing that is looked at. */
export interface Check {
  /** Stable, in kebab-case. */
  readonly id: string
  readonly group: 'machine' | 'network' | 'gpu' | 'project'
  /** What is looked at, as a title. */
  readonly title: string
  run(context: DoctorContext): Promise<Finding>
}

/** The world as checks see it; tests hand in their own. */
export interface DoctorContext {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where the user stands; the project is looked for from here. */
  readonly folder: string
  /** The project, when there is a readable one. */
  readonly project: LoadedConfig | undefined
  /** Why there is none. */
  readonly projectError: unknown
  readonly http: Http
  readonly signal?: AbortSignal | undefined
  /** Folder of the local store. */
  readonly store: string
  readonly nodeVersion: string
  /** `platform-arch` of this machine, as Node names them. */
  readonly platform: string
  readonly now: () => number
  /** Addresses that builds ask. */
  readonly addresses: { readonly pythonIndex: string; readonly debianArchive: string }
  /** Version of the NVIDIA driver of this machine. */
  readonly driver: string | undefined
}

/** The outcome of one check. */
export interface CheckResult extends Omit<Finding, 'fix'> {
  readonly id: string
  readonly group: Check['group'] | 'settings' | 'certificates' | 'credentials' | 'answer'
  readonly title: string
  /** What `--fix` did. */
  readonly fixed?: string
}

/** All is well. */
export const ok = (message: string): Finding => ({ status: 'ok', message })
/** Nothing to look at here. */
export const skipped = (message: string): Finding => ({ status: 'skipped', message })
/** Builds work, less well than they could. */
export const warning = (message: string, remedy: string, fix?: () => Promise<string>): Finding => ({
  status: 'warning',
  message,
  remedy,
  ...(fix === undefined ? {} : { fix }),
})
/** Something a build needs does not work. */
export const failure = (message: string, remedy: string): Finding => ({ status: 'error', message, remedy })
