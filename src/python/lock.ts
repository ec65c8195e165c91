import type { RemoteFile } from '../core/remote-file.ts'
import type { Target } from './target.ts'

/** What a resolution answers: one wheel for every package, for one target. Plain JSON. */
export interface PythonLock {
  readonly target: Target
  /** Sorted by name. */
  readonly packages: readonly LockedWheel[]
  /** What is needed and was there already, sorted by name; absent without such. */
  readonly installed?: readonly { readonly name: string; readonly version: string }[]
}

/** One wheel, provable by its hash; or the source of one, which is then what file name, URL, hash and size speak of. */
export interface LockedWheel extends RemoteFile {
  /** Normalised. */
  readonly name: string
  /** Normal form. */
  readonly version: string
  readonly filename: string
  /** The index that listed it, without credentials; absent for a direct URL. */
  readonly index?: string
  /** The user named the file by its address. */
  readonly isDirect?: true
  /** The user named it; everything else came along. */
  readonly requested: boolean
  /** Extras that were asked for, normalised and sorted. */
  readonly extras?: readonly string[]
  /** Normalised names of the locked packages that it requires, sorted. */
  readonly dependencies: readonly string[]
  /** Upload time as the index gave it. */
  readonly uploadTime?: string
  /** The reason for which the release was yanked; it is locked all the same because it was pinned. */
  readonly yanked?: string
  /** Present when the wheel has to be built, since nobody published one that fits. */
  readonly source?: LockedSource
}

/** Where the source of a package lies. */
export type SourcePlace =
  /** A source distribution or another archive; its file is named beside it. */
  | { readonly kind: 'archive'; readonly subdirectory?: string }
  /** A git repository at one commit; `url` holds no credentials. */
  | { readonly kind: 'repository'; readonly url: string; readonly commit: string; readonly subdirectory?: string }
  /** A folder, relative to the project with `/` between parts. */
  | { readonly kind: 'folder'; readonly path: string; readonly subdirectory?: string }

/** What a wheel is built from when nobody published one that fits. */
export interface LockedSource {
  readonly place: SourcePlace
  /** What the build itself needs, laid into an environment of its own; sorted by name. */
  readonly buildRequires: readonly LockedWheel[]
  /** Requirements that the backend asked for when it ran, beyond those it states; they are among the others. */
  readonly granted?: readonly string[]
}
