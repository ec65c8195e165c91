import type { ErrorCode } from '../../../core/errors.ts'
import type { UnpackableLayer, UnpackOptions } from '../unpack-layer.ts'
import type { ApplyResult } from '../apply-layer.ts'

/** What the caller's thread tells a thread that unpacks. One layer at a time: what comes after `start` belongs to it. */
export type UnpackRequest =
  | {
      readonly type: 'start'
      readonly folder: string
      readonly layer: Omit<UnpackableLayer, 'open'>
      readonly options: Omit<UnpackOptions, 'note' | 'signal'>
    }
  /** The next compressed bytes, sent only where they were asked for. */
  | { readonly type: 'chunk'; readonly bytes: Uint8Array }
  | { readonly type: 'end' }

/** What the unpacking thread answers; `done` and `failed` come last. */
export type UnpackAnswer =
  /** There is room for one more chunk. */
  | { readonly type: 'need' }
  | { readonly type: 'note'; readonly text: string }
  | { readonly type: 'done'; readonly result: ApplyResult }
  | { readonly type: 'failed'; readonly error: SentUnpackError }

/** An error as it crosses threads. */
export interface SentUnpackError {
  readonly kind: 'build' | 'dependent' | 'other'
  readonly code?: ErrorCode | undefined
  readonly message: string
  readonly hint?: string | undefined
  readonly data?: Readonly<Record<string, unknown>> | undefined
}
