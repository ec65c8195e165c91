/** First bytes of a container of CUDA code, little endian 0xBA55ED50. */
const MAGIC = Buffer.from([0x50, 0xed, 0x55, 0xba])
const CONTAINER_BYTES = 16
const ENTRY_BYTES = 32
const NOTHING: Buffer = Buffer.alloc(0)
const KIND_PTX = 1
const KIND_MACHINE_CODE = 2

/**
 * Lists the GPU architectures that a library has code for, while it streams by.
 *
 * Containers lie one after another in `.nv_fatbin`; each entry's header names its kind and architecture, also when the
 * code itself is compressed.
 */
export class FatbinScanner {
  readonly #found = new Set<string>()
  /** Bytes that may start a container or header which the next chunk completes. */
  #rest: Buffer = NOTHING
  /** Bytes to let by before the next header. */
  #skip = 0
  /** Bytes left of the current container. */
  #left = 0

  /** Whether this many bytes more lie inside one entry's code. */
  isInside(bytes: number): boolean {
    return this.#skip >= bytes
  }

  write(chunk: Buffer): void {
    if (this.#skip >= chunk.length) {
      this.#skip -= chunk.length
      return
    }
    let fresh = chunk.subarray(this.#skip)
    this.#skip = 0
    if (this.#rest.length > 0) {
      // What began before is completed in a few bytes: the chunk itself is not copied.
      const seam = Buffer.concat([this.#rest, fresh.subarray(0, ENTRY_BYTES)])
      const used = this.#scan(seam) - this.#rest.length
      // Still not enough of it: the chunk is shorter than that, and all of it is kept.
      if (used < 0) {
        this.#rest = seam.subarray(seam.length - fresh.length + used)
        return
      }
      this.#rest = NOTHING
      this.#skip = Math.max(0, used - fresh.length)
      fresh = fresh.subarray(used)
    }
    if (fresh.length === 0) return
    const used = this.#scan(fresh)
    this.#skip = Math.max(0, used - fresh.length)
    this.#rest = Buffer.from(fresh.subarray(Math.min(used, fresh.length)))
  }

  /** Sorted by kind and number. */
  finish(): readonly string[] {
    return [...this.#found].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  }

  /** How many bytes need not be seen again; more than there are when a part lies ahead that is of no interest. */
  #scan(bytes: Buffer): number {
    let at = 0
    while (at < bytes.length) {
      if (this.#left === 0) {
        const start = bytes.indexOf(MAGIC, at)
        // The last bytes could be the start of the magic number.
        if (start < 0) return Math.max(at, bytes.length - MAGIC.length + 1)
        if (start + CONTAINER_BYTES > bytes.length) return start
        at = this.#openContainer(bytes, start)
      } else {
        if (at + ENTRY_BYTES > bytes.length) return at
        at = this.#readEntry(bytes, at)
      }
    }
    return at
  }

  #openContainer(bytes: Buffer, start: number): number {
    const version = bytes.readUInt16LE(start + 4)
    const headerBytes = bytes.readUInt16LE(start + 6)
    const size = bytes.readBigUInt64LE(start + 8)
    // The magic number also stands in code that looks for it.
    if (version !== 1 || headerBytes !== CONTAINER_BYTES || size > 2n ** 40n) return start + MAGIC.length
    this.#left = Number(size)
    return start + CONTAINER_BYTES
  }

  #readEntry(bytes: Buffer, at: number): number {
    const kind = bytes.readUInt16LE(at)
    const headerBytes = bytes.readUInt32LE(at + 4)
    const size = bytes.readBigUInt64LE(at + 8)
    const architecture = bytes.readUInt32LE(at + 28)
    const total = headerBytes + Number(size)
    if (headerBytes < ENTRY_BYTES || size > 2n ** 40n || total > this.#left || architecture > 999) {
      this.#left = 0
      return at
    }
    if (kind === KIND_PTX) this.#found.add(`compute_${architecture}`)
    if (kind === KIND_MACHINE_CODE) this.#found.add(`sm_${architecture}`)
    this.#left -= total
    return at + total
  }
}
