import type { DigestAlgorithm } from 'oci-spec-types'

/** What a thread that hashes is told. Requests of one `id` belong together and are answered in their order. */
export type HashRequest =
  | { readonly type: 'start'; readonly id: number; readonly algorithm: DigestAlgorithm }
  /** The next bytes, which stay as they are until the answer. */
  | { readonly type: 'bytes'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly type: 'end'; readonly id: number }
  /** The digest is not wanted any more. */
  | { readonly type: 'close'; readonly id: number }

/** What it answers. */
export type HashAnswer =
  /** The memory of as many earlier bytes may be used again. */
  | { readonly type: 'taken'; readonly id: number }
  | { readonly type: 'digest'; readonly id: number; readonly hex: string }
