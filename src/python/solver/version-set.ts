/**
 * What may become of one package: a set over its known versions and over "not in the solution at all".
 *
 * Both kinds of PubGrub terms are such sets: a positive term lacks the absent bit, a negative one has it. So
 * negation, intersection and union are plain set operations and there is one rule instead of four. All sets of one
 * package have the same size. Immutable.
 */
export class VersionSet {
  readonly #words: Uint32Array
  /** Number of versions; bit `count` means "absent". */
  readonly count: number

  private constructor(words: Uint32Array, count: number) {
    this.#words = words
    this.count = count
  }

  /** The versions for which the test holds, absent excluded. */
  static where(count: number, test: (index: number) => boolean): VersionSet {
    const words = emptyWords(count)
    for (let i = 0; i < count; i++) if (test(i)) setBit(words, i)
    return new VersionSet(words, count)
  }

  static of(count: number, index: number): VersionSet {
    const words = emptyWords(count)
    setBit(words, index)
    return new VersionSet(words, count)
  }

  /** Every version, and absent too: no knowledge at all. */
  static all(count: number): VersionSet {
    return VersionSet.where(count, () => false).negate()
  }

  has(index: number): boolean {
    return ((this.#words[index >>> 5] ?? 0) & (1 << (index & 31))) !== 0
  }

  /** False when the package must be in the solution. */
  get allowsAbsent(): boolean {
    return this.has(this.count)
  }

  get isEmpty(): boolean {
    return this.#words.every((word) => word === 0)
  }

  get isAll(): boolean {
    return this.negate().isEmpty
  }

  negate(): VersionSet {
    const words = this.#words.map((word) => ~word)
    // Bits behind the absent bit stay zero, so that equal sets have equal words.
    const spare = (words.length << 5) - (this.count + 1)
    const last = words.length - 1
    words[last] = (words[last] ?? 0) & (0xffffffff >>> spare)
    return new VersionSet(words, this.count)
  }

  intersect(other: VersionSet): VersionSet {
    return new VersionSet(
      this.#words.map((word, i) => word & (other.#words[i] ?? 0)),
      this.count,
    )
  }

  union(other: VersionSet): VersionSet {
    return new VersionSet(
      this.#words.map((word, i) => word | (other.#words[i] ?? 0)),
      this.count,
    )
  }

  isSubsetOf(other: VersionSet): boolean {
    return this.#words.every((word, i) => (word & ~(other.#words[i] ?? 0)) === 0)
  }

  isDisjointFrom(other: VersionSet): boolean {
    return this.#words.every((word, i) => (word & (other.#words[i] ?? 0)) === 0)
  }

  equals(other: VersionSet): boolean {
    return this.count === other.count && this.#words.every((word, i) => word === other.#words[i])
  }

  /** Positions of the versions in it, ascending, absent excluded. */
  indices(): readonly number[] {
    const found: number[] = []
    for (let i = 0; i < this.count; i++) if (this.has(i)) found.push(i)
    return found
  }

  /** The same string for equal sets of one package. */
  get key(): string {
    return this.#words.join('.')
  }
}

function emptyWords(count: number): Uint32Array {
  return new Uint32Array((count >>> 5) + 1)
}

function setBit(words: Uint32Array, index: number): void {
  words[index >>> 5] = (words[index >>> 5] ?? 0) | (1 << (index & 31))
}
