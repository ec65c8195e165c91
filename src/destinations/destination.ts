import type { Digest } from 'oci-spec-types'
import type { PushedStream, StreamedBlob } from '../../registry/stream-upload.ts'
import type { PushOutcome } from '../../registry/upload.ts'
import type { RawManifest } from '../../registry/manifest.ts'
import type { Blob, BlobHome, Content } from './content.ts'

/**
 * A place that an image can be written to, for one copy.
 *
 * Calls come in this order: `begin`; `putBlob` for every blob, up to `concurrency` at a time; `putManifest` for every
 * manifest of an index, each after its blobs; `finish`, which makes the whole visible under its name at once. After a
 * failure `abort` is called instead of `finish`: nothing half-written stays, and what was there before is as it was.
 */
export interface Destination {
  /** As a user would write it, for messages. */
  readonly name: string
  /** How many blobs it takes at a time. */
  readonly concurrency: number
  /**
   * Prepares for blobs that come before `begin`: from then on `putBlob` may be called. Absent where blobs can only be stored
   * once the whole is known.
   *
   * @param homes repositories that blobs may be mounted from
   */
  prepare?(homes: readonly BlobHome[]): Promise<void>
  /** Prepares for a content; true when it is there already under this name, so that nothing is to do. */
  begin(content: Content): Promise<boolean>
  /**
   * Stores a blob, verified.
   *
   * @throws BuildError DIGEST_MISMATCH, SIZE_MISMATCH when the source gives other bytes; it may then be called again
   */
  putBlob(blob: Blob, options?: PutBlobOptions): Promise<PushOutcome>
  /**
   * Stores a blob while it is being made, and tells what it turned out to be; absent where a blob's digest must be known
   * before it is written.
   *
   * @throws whatever the source throws; nothing of it then stays
   */
  putStream?(stream: PushedStream, options?: PutBlobOptions): Promise<StreamedBlob>
  /** Whether nothing was ever put there, so that nothing of what comes is there already; absent where it cannot be asked. */
  isNew?(): Promise<boolean>
  /** Whether a blob is there, so that it need not be made; absent where it cannot be asked. To be asked after `prepare`. */
  hasBlob?(digest: Digest): Promise<boolean>
  /** Stores a manifest by its digest. */
  putManifest(manifest: RawManifest): Promise<void>
  /** Publishes the root manifest. */
  finish(root: RawManifest): Promise<void>
  /** Forgets what was not published. May be called at any time, also twice. */
  abort(): Promise<void>
  /** Tells whether a manifest is there with all it names, when that can be known cheaply. */
  has?(manifest: RawManifest): Promise<boolean>
  /** Tells whether an error of `putBlob` means that other bytes came than the digest says. */
  sawDamage?(error: unknown): boolean
  /** Tells whether an error of `putManifest` or `finish` means that blobs got lost which were reported as stored. */
  lacksBlobs?(error: unknown): boolean
}

/** How a blob is stored. */
export interface PutBlobOptions {
  readonly onBytes?: ((bytes: number) => void) | undefined
  /** Ends the reading of the source. */
  readonly signal?: AbortSignal | undefined
  /** Do not believe earlier answers: make sure that the blob is there. */
  readonly isRepair?: boolean | undefined
}
