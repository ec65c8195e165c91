import type { Digest, Index } from 'oci-spec-types'

/**
 * Where a registry keeps what it was given: per repository a set of blobs and an OCI index that names its manifests.
 *
 * Every method that changes something is atomic: after a crash at any moment the change is there or it is not.
 * Repository names and digests were checked by the caller.
 */
export interface Storage {
  /** The names of all repositories, sorted. */
  repositories(): Promise<string[]>

  /** A blob's size in bytes; undefined when this repository does not have it. */
  sizeOf(repository: string, digest: Digest): Promise<number | undefined>
  /** Opens a blob; close it. Undefined when this repository does not have it. */
  open(repository: string, digest: Digest): Promise<OpenBlob | undefined>
  /** Stores a small blob whose digest was checked. */
  write(repository: string, digest: Digest, bytes: Uint8Array): Promise<void>
  /**
   * Makes a blob of one repository one of another, without a copy where the medium can.
   *
   * @param from  the repository that has it; any that does when undefined
   * @returns whether the blob was found
   */
  mount(repository: string, digest: Digest, from: string | undefined): Promise<boolean>
  /** @returns whether the blob was there; other repositories keep theirs */
  remove(repository: string, digest: Digest): Promise<boolean>

  /** The repository's index, undefined when it has none yet. Cheap when `known` is still its version. */
  readIndex(repository: string, known: string | undefined): Promise<StoredIndex | 'unchanged' | undefined>
  /** Replaces the index. @returns its new version */
  writeIndex(repository: string, index: Index): Promise<string>

  /** Begins an upload. @returns its id */
  beginUpload(repository: string): Promise<string>
  /** The upload, with all bytes that ever arrived, also after a restart; undefined when there is none. */
  upload(repository: string, id: string): Promise<UploadFile | undefined>
  /** Forgets uploads that nobody touched for this long. */
  expireUploads(olderThanMs: number): Promise<void>

  close(): Promise<void>
}

/** A blob being read. */
export interface OpenBlob {
  readonly sizeBytes: number
  /** Bytes from `start` up to but without `end`. */
  stream(start: number, end: number): AsyncIterable<Uint8Array>
  close(): Promise<void>
}

/** An index as it lies in the storage, and what tells it from a later one. */
export interface StoredIndex {
  readonly index: Index
  readonly version: string
}

/** The bytes of an upload that has not been finished. One caller at a time. */
export interface UploadFile {
  /** Bytes that have arrived. */
  readonly sizeBytes: number
  /**
   * Adds bytes at the end. When the stream fails, what arrived before stays, and the error is thrown.
   *
   * @param seen  is shown every byte that was added, in order
   */
  append(stream: AsyncIterable<Uint8Array>, seen: (chunk: Uint8Array) => void): Promise<void>
  /** All bytes so far. */
  read(): AsyncIterable<Uint8Array>
  /** Makes the bytes a blob of the repository; the caller has checked the digest. Ends the upload. */
  commit(digest: Digest): Promise<void>
  /** Throws the bytes away. Ends the upload. */
  discard(): Promise<void>
}

/** The most bytes of a manifest or index that are accepted (distribution-spec, "Pushing manifests"). */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024
