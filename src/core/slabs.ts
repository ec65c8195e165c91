/**
 * Pieces of memory of one size that are used again. Left to the garbage collector, buffers of streams outlive their use
 * until all of the heap is looked through, and a build of gigabytes then holds many times what it uses. Threads can read
 * them where they lie.
 */
export class SlabPool {
  readonly bytes: number
  readonly #mostKept: number
  readonly #free: Buffer[] = []
  #lent = 0

  /** @param mostKept  more than these are let go when they come back */
  constructor(bytes: number, mostKept: number) {
    this.bytes = bytes
    this.#mostKept = mostKept
  }

  /** How many are in use; those that are never given back count for ever. */
  get lent(): number {
    return this.#lent
  }

  /** Memory that holds anything. */
  take(): Buffer {
    this.#lent++
    return this.#free.pop() ?? Buffer.from(new SharedArrayBuffer(this.bytes))
  }

  /**
   * Gives memory back, once nobody reads or writes it any more. Who is not sure (a consumer that stopped in the middle may
   * still send a chunk) lets go of it instead: it is then collected like any other.
   */
  give(slab: Buffer): void {
    if (slab.length !== this.bytes) throw new RangeError('Not memory of this pool')
    this.#lent--
    if (this.#free.length < this.#mostKept) this.#free.push(slab)
  }
}

/** What files and connections are read into. */
export const slabs = new SlabPool(1 << 20, 32)

/** What small chunks are gathered in. */
export const batches = new SlabPool(1 << 18, 16)
