/** The size of a block: a write of this is worth its wait. A multiple of every disk's sector. */
export const BLOCK_BYTES = 1 << 20

/** Two for each layer that is made at once, and some for those that the lock file knows. */
const MOST = 8
/** A page of WebAssembly's memory. */
const PAGE_BYTES = 1 << 16

/**
 * Blocks of memory that begin at a page, as the kernel wants them for writes past its cache. Node's own buffers begin
 * anywhere; a memory of WebAssembly begins at a page everywhere, and has the pages alone that were ever used.
 */
export class AlignedBlocks {
  #free: Buffer[] | undefined
  readonly #own = new WeakSet<Buffer>()

  /** A block that holds anything: an ordinary buffer when all are lent, or such memory cannot be had. */
  take(): Buffer {
    this.#free ??= this.#allocate()
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
  }

  /** Whether a block begins at a page. */
  has(block: Buffer): boolean {
    return this.#own.has(block)
  }

  /** Gives a block back that nobody reads or writes any more. */
  give(block: Buffer): void {
    if (this.has(block)) this.#free?.push(block)
  }

  #allocate(): Buffer[] {
    const free = allocate()
    for (const block of free) this.#own.add(block)
    return free
  }
}

function allocate(): Buffer[] {
  try {
    const pages = (MOST * BLOCK_BYTES) / PAGE_BYTES
    const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages })
    return Array.from({ length: MOST }, (_, n) => Buffer.from(buffer, n * BLOCK_BYTES, BLOCK_BYTES))
  } catch {
    // No WebAssembly, or no room for it (`ulimit -v`): what would have used it writes another way.
    return []
  }
}

declare const WebAssembly: {
  readonly Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer }
}
