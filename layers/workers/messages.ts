import type { ErrorCode } from '../../src/core/errors.ts'
import type { ExpectedFile, LayerFindings } from '../layer-check.ts'

/** What the thread that makes a layer tells the thread that checks it. */
export type CheckRequest =
  | { readonly type: 'start'; readonly id: number; readonly expected: readonly ExpectedFile[]; readonly what: string }
  | { readonly type: 'chunk'; readonly id: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: 'end'; readonly id: number }
  | { readonly type: 'close'; readonly id: number }

/** What the checking thread answers. */
export type CheckAnswer =
  /** A chunk was taken in; as many bytes more may be sent. Its memory comes back, to be filled again. */
  | { readonly type: 'taken'; readonly id: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: 'done'; readonly id: number; readonly findings: LayerFindings }
  | { readonly type: 'failed'; readonly id: number; readonly error: SentError }

/** A BuildError as it crosses threads; another error has no code. */
export interface SentError {
  readonly code?: ErrorCode | undefined
  readonly message: string
  readonly hint?: string | undefined
}
