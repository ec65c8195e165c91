import type { Descriptor, Digest } from 'oci-spec-types'
import type { Open } from '../src/core/bytes.ts'
import { hashedStream, type Expected, type HashedStream } from '../src/core/digest.ts'

/**
 * One layer of an image whose digest is known. Immutable; its bytes come from wherever they lie and may be opened
 * any number of times.
 */
export interface Layer {
  /** Media type, digest and size of the compressed bytes. */
  readonly descriptor: Descriptor
  /** Digest of the uncompressed tar. */
  readonly diffId: Digest
  /** The compressed bytes, not verified on the way: the consumer verifies against `descriptor`. */
  readonly open: Open
  /** The repository that already holds this blob, so that a push there can skip it and one beside it can mount it. */
  readonly source?: { readonly registry: string; readonly repository: string } | undefined
  /** What made the layer, in a few words, for `history.created_by` and progress. */
  readonly createdBy: string
}

/**
 * The bytes of a layer that is being made, in one pass.
 *
 * `blob` must be read to its end before `diffId()` has an answer.
 */
export interface LayerStream {
  readonly mediaType: string
  /** The compressed bytes, once. Whoever reads them is done with a chunk when it asks for the next. */
  readonly blob: AsyncIterable<Uint8Array>
  /** As of {@link Layer}. */
  readonly createdBy?: string | undefined
  /** What `blob` was, when somebody hashes it on its way already; known when it has ended. */
  readonly made?: (() => Expected) | undefined
  /** Digest of the uncompressed tar; known when `blob` has ended. */
  diffId(): Digest
}

/** The bytes of a layer with what they turn out to be: hashed here, unless somebody does so already. */
export function hashedBlob({ blob, made, createdBy: name }: LayerStream): HashedStream {
  return { ...(made === undefined ? hashedStream(blob) : { bytes: blob, made }), name }
}
