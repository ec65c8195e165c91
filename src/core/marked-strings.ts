/** Longest string that is found. */
const MAX_STRING_BYTES = 4096
const NOTHING: Buffer = Buffer.alloc(0)

/** How much is kept; a hostile file may be full of strings. */
export interface MarkedStringsLimits {
  /** Strings found by each mark; 20,000 unless given. */
  readonly strings?: number | undefined
  /** Characters of all strings together; 8 MiB unless given: tables of real libraries have some tens of thousands of names. */
  readonly characters?: number | undefined
}

/**
 * Finds the strings of a file that end with a zero byte and hold one of some marks, while its bytes stream by.
 *
 * Which string of a library's table is its name is said behind the table: keeping what may be a name takes kilobytes, keeping
 * the table megabytes.
 */
export class MarkedStrings {
  readonly #marks: readonly Buffer[]
  readonly #mostStrings: number
  readonly #mostCharacters: number
  /** Text by its place in the file. */
  readonly #strings = new Map<number, string>()
  /** Strings found by each mark. */
  readonly #counts: number[] = []
  #characters = 0
  /** The last bytes that were written, and the place behind them. */
  #tail: Buffer = NOTHING
  #end = 0

  constructor(marks: readonly string[], { strings = 20_000, characters = 8 << 20 }: MarkedStringsLimits = {}) {
    this.#marks = marks.map((mark) => Buffer.from(mark))
    this.#mostStrings = strings
    this.#mostCharacters = characters
  }

  /** Takes bytes of the file that lie at a place behind all that was written before; no string goes on across a gap. */
  write(chunk: Buffer, position: number): void {
    const tail = position === this.#end ? this.#tail : NOTHING
    // A string across the border of two chunks is found in a small window around it.
    this.#find(Buffer.concat([tail, chunk.subarray(0, MAX_STRING_BYTES)]), position - tail.length)
    this.#find(chunk, position)
    // Chunks may be shorter than a string.
    const recent = chunk.length < MAX_STRING_BYTES ? Buffer.concat([tail, chunk]) : chunk
    this.#tail = Buffer.from(recent.subarray(Math.max(0, recent.length - MAX_STRING_BYTES)))
    this.#end = position + chunk.length
  }

  /** The text at a place up to the next zero byte, one character a byte, when it lies in a string that was found: linkers let names share tails. */
  textAt(offset: number): string | undefined {
    // A damaged file may name places beyond what numbers can count.
    if (!Number.isSafeInteger(offset)) return undefined
    for (let start = offset; start >= 0 && start > offset - MAX_STRING_BYTES; start--) {
      const text = this.#strings.get(start)
      if (text !== undefined) return start + text.length > offset ? text.slice(offset - start) : undefined
    }
    return undefined
  }

  #find(bytes: Buffer, position: number): void {
    for (const [n, mark] of this.#marks.entries()) {
      for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + mark.length)) {
        if ((this.#counts[n] ?? 0) >= this.#mostStrings || this.#characters >= this.#mostCharacters) break
        // Both searches are bounded: a hostile file may hold no zero at all.
        const inside = at + mark.length - 1
        const floor = Math.max(0, inside - MAX_STRING_BYTES)
        const start = floor + bytes.subarray(floor, inside).lastIndexOf(0) + 1
        const end = inside + bytes.subarray(inside, inside + MAX_STRING_BYTES).indexOf(0)
        if (end < inside) continue
        this.#strings.set(position + start, bytes.toString('latin1', start, end))
        this.#counts[n] = (this.#counts[n] ?? 0) + 1
        this.#characters += end - start
        at = end - mark.length
      }
    }
  }
}
