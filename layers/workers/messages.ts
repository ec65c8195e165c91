import type { HashAnswer, HashRequest } from '../../src/core/hash-thread/messages.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { CompressTask } from '../compress-check.ts'
import type { CheckTask, LayerFindings } from '../layer-check.ts'

/** What a thread may be given to do. */
export type ThreadTask = CheckTask | CompressTask

/** What the thread that makes a layer tells the thread that checks it. */
export type CheckRequest =
  | { readonly type: 'start'; readonly id: number; readonly task: ThreadTask }
  | { readonly type: 'chunk'; readonly id: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: 'end'; readonly id: number }
  | { readonly type: 'close'; readonly id: number }
  /** Of a stream that is hashed beside what is checked. */
  | { readonly type: 'hash'; readonly request: HashRequest }

/** What the checking thread answers. */
export type CheckAnswer =
  /** A chunk was taken in; as many bytes more may be sent. Its memory comes back, to be filled again. */
  | {
      readonly type: 'taken'
      readonly id: number
      readonly bytes: Uint8Array<ArrayBuffer>
      /** How much of the output stands at the start of that memory; nothing unless given. */
      readonly madeBytes?: number | undefined
    }
  /** Part of the output, in order with what comes in the memory of chunks. */
  | { readonly type: 'made'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly type: 'done'; readonly id: number; readonly findings: LayerFindings }
  | { readonly type: 'failed'; readonly id: number; readonly error: SentError }
  | { readonly type: 'hashed'; readonly answer: HashAnswer }

/** A BuildError as it crosses threads; another error has no code. */
export interface SentError {
  readonly code?: ErrorCode | undefined
  readonly message: string
  readonly hint?: string | undefined
}
