import type { Descriptor, DigestAlgorithm } from 'oci-spec-types'
import type { RandomAccess } from '../src/core/bytes.ts'
import { isBuildError } from '../src/core/errors.ts'
import type { ThreadDigester } from '../src/core/hash-thread/digester.ts'
import type { Report } from '../src/core/progress.ts'
import type { RemoteFile } from '../src/core/remote-file.ts'
import type { FactsCache } from '../src/debian/facts-file.ts'
import type { Compression } from './compress.ts'
import type { InstalledRecords } from './installed-records.ts'
import type { CheckPool } from './workers/pool.ts'
import type { ZtocParts } from './ztoc/spill.ts'

/** A file that is read where it lies, and may not be proven yet. */
export interface RemoteAccess extends RandomAccess {
  /**
   * Makes sure that what `read` gave is the file's, by reading all of it if need be. Absent when it is proven already. A `stream`
   * from the start, read to its end, proves it as well.
   */
  prove?(): Promise<void>
}

/** Hashes a stream on another thread; undefined where that gains nothing. */
export type HashBeside = (algorithm: DigestAlgorithm) => ThreadDigester | undefined

/** How a large file is opened. */
export interface OpenDirectOptions {
  readonly isCompared?: boolean | undefined
  readonly hashBeside?: HashBeside | undefined
}

/**
 * Opens a large file without keeping it.
 *
 * @param isCompared  what is made of a stream from the start is compared with a digest that was known before: the file's own hash
 *   would say nothing more, and is not computed
 * @param hashBeside  hashes the file where no other thread is free for it
 */
export type OpenDirect = (file: RemoteFile, options?: OpenDirectOptions) => Promise<RemoteAccess>

/** What a layer kind may ask of the world. */
export interface LayerContext {
  /** Opens a proven file: its size and sha256 were checked. Close it. */
  openRemote(file: RemoteFile): Promise<RandomAccess>
  /**
   * Opens a file that is read once and forwards, and proven by `prove` behind that; as `openRemote` unless given. Nothing that was made
   * of it may be kept before.
   */
  readonly openPassing?: ((file: RemoteFile) => Promise<RemoteAccess>) | undefined
  /** Opens large files; as `openRemote` unless given. */
  readonly openDirect?: OpenDirect | undefined
  /** Says that a file which was opened is not needed again soon: its bytes lie in a layer. */
  releaseRemote?(file: RemoteFile): Promise<void>
  /**
   * Reads a file that was opened to its end again, when what it holds made no sense: a copy that was damaged since it was stored is removed.
   *
   * @throws BuildError STORE_CORRUPT when it was
   */
  proveRemote?(file: RemoteFile): Promise<void>
  /** From which size on files are opened by `openDirect`; 8 MB unless given. */
  readonly directBytes?: number | undefined
  /** The folder that project files are relative to. */
  readonly projectFolder: string
  readonly report: Report
  readonly signal?: AbortSignal | undefined
  /** How layers are compressed; `gzip` unless given. Never changes a diffId. */
  readonly compression?: Compression | undefined
  /** The time of files that have none of their own (`SOURCE_DATE_EPOCH`); {@link DEFAULT_MTIME_SECONDS} unless given. */
  readonly mtimeSeconds?: number | undefined
  /** The layer's digest is known, and what comes out is compared with it: nothing is inflated, and there is no diffId. */
  readonly isKnown?: boolean | undefined
  /** Keeps the table for lazy pulling of a layer that was made; kinds that inflate their layers make one if it is given. */
  readonly keepZtoc?: ((layer: Descriptor, ztoc: ZtocParts) => Promise<void>) | undefined
  /** A folder for temporary files, where such a table may lie until it is kept. */
  readonly spillFolder?: string | undefined
  /** RECORD files of large wheels whose layers were made before: the environment needs some of them. */
  readonly installedRecords?: InstalledRecords | undefined
  /** Facts of packages that were read before; without it each is read again when it must be known. */
  readonly facts?: FactsCache | undefined
  /** Threads that inflate and hash; the calling thread does it when there are none. */
  readonly checks?: CheckPool | undefined
}

/** 1980-01-01: the first time that a zip can hold, so that tools which pack an image's files again do not fail. */
export const DEFAULT_MTIME_SECONDS = 315532800

/** Part of every layer's key: a change of how layers are laid out makes all of them new. */
export const LAYOUT_VERSION = 2

/** Part of the key of what registers Debian packages: a change of what it works out makes those layers new. */
export const REGISTRATION_VERSION = 2

/** From this size on a file is not kept: it becomes a layer of its own, and whoever has the layer needs no file. */
export const DIRECT_BYTES = 8_000_000

/** Opens a file that makes a layer by itself when it is large: it then passes through without being kept. */
export function openOnce(file: RemoteFile, context: LayerContext): Promise<RemoteAccess> {
  const isCompared = context.isKnown === true
  if (!isLarge(file, context) || context.openDirect === undefined) return context.openRemote(file)
  return context.openDirect(file, { isCompared, hashBeside: context.checks?.digester })
}

/** Opens a file that is read once and forwards. Prove it before what was made of it is kept. */
export function openForwards(file: RemoteFile, { openPassing, openRemote }: LayerContext): Promise<RemoteAccess> {
  return openPassing?.(file) ?? openRemote(file)
}

/**
 * What is wrong where a file could not be read that may not be proven yet: gives the error back.
 *
 * @throws BuildError DIGEST_MISMATCH, SIZE_MISMATCH for a file that is not the one that was asked for, whatever else is odd about it
 */
export async function explainUnread(error: unknown, file: RemoteAccess): Promise<unknown> {
  if (isBuildError(error, 'ARCHIVE_INVALID') || error instanceof RangeError) await file.prove?.()
  return error
}

/** Whether a file makes a layer by itself. */
export function isLarge({ sizeBytes }: RemoteFile, { directBytes = DIRECT_BYTES }: LayerContext): boolean {
  return sizeBytes >= directBytes
}
