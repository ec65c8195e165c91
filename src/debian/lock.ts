import type { BaseSystem } from './base-system.ts'
import type { RemoteFile } from '../core/remote-file.ts'
import type { UnhonouredScript } from './scripts.ts'

/** The root of packages that belong to a base composed from nothing. */
export const BASE_ROOT = 'base'

/** One binary package as a lock names it. */
export interface LockedDeb extends RemoteFile {
  readonly package: string
  readonly version: string
  /** The package's own: `all` or the image's. */
  readonly architecture: string
  /** Unpacked size that the index states. */
  readonly installedBytes: number
  /** The package that was asked for and brought this one first; {@link BASE_ROOT} for those of a composed base. */
  readonly root: string
  /** Names of packages whose files it may overwrite; absent when there are none. */
  readonly replaces?: readonly string[] | undefined
}

/** A Release file that the lock rests on. */
export interface LockedRelease {
  /** Address of the archive, masked of nothing: it may hold no credentials. */
  readonly archive: string
  readonly suite: string
  readonly codename: string
  /** When the archive signed it, ISO 8601. */
  readonly date: string
  /** Of the InRelease file. */
  readonly sha256: string
}

/** What an archive answered: which packages, and from which signed releases. */
export interface DebianLock {
  readonly suite: string
  readonly architecture: DebianArchitecture
  readonly releases: readonly LockedRelease[]
  /** Packages to lay down, each after those it depends on where no circle forbids it. */
  readonly packages: readonly LockedDeb[]
  /** Packages of the base that one of these replaces by another version. */
  readonly upgraded: readonly { readonly package: string; readonly from: string }[]
  /** Maintainer scripts that are neither run nor stood in for. */
  readonly scriptsNotRun: readonly UnhonouredScript[]
  /** What the base told; absent for a file system that is composed from nothing. */
  readonly base?: BaseSystem | undefined
}

/** Debian's names of the architectures that images are built for. */
export type DebianArchitecture = 'amd64' | 'arm64'
