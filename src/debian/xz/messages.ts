/** What a decompressing thread is told. */
export type ToXzThread =
  /** Begins a file. */
  | { readonly type: 'start' }
  /** Input that was asked for; its memory comes back with the next question. */
  | { readonly type: 'input'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: 'end'; readonly memory: ArrayBuffer }
  /** Memory to fill with output: as many chunks may be under way as were given. */
  | { readonly type: 'memory'; readonly memory: ArrayBuffer }

/** What it answers. */
export type FromXzThread =
  /** Asks for input, and gives memory for it. */
  | { readonly type: 'need'; readonly memory: ArrayBuffer }
  | { readonly type: 'chunk'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly message: string }
