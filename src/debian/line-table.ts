import { RECORD_FIELDS } from './package-record.ts'

/** A slim index, or a part of one, and where its files lie. */
export interface PackagesIndex {
  readonly archive: string
  /** One line a package with its line break, fields in the order of `RECORD_FIELDS`. */
  readonly text: Buffer
}

/** A line of an index; `rank` orders lines of different indexes. */
export interface IndexLine {
  readonly line: string
  readonly archive: string
  readonly rank: number
}

/** Line numbers by a hash of a name; which of them have that very name is seen when they are read. */
type Hashes = Map<number, number | number[]>

const TAB = 9
const NEWLINE = 10
const PROVIDES = RECORD_FIELDS.indexOf('provides')
const PRIORITY = RECORD_FIELDS.indexOf('priority')
const ESSENTIAL = RECORD_FIELDS.indexOf('essential')

/**
 * Finds lines of indexes by name and by what they provide.
 *
 * An archive has some 60 000 packages that promise 200 000 names, of which a request looks at some hundred: as text in a
 * map they cost 40 MB, as hashes of their bytes a few.
 */
export class LineTable {
  readonly #indexes: readonly PackagesIndex[]
  readonly #starts: number[] = []
  readonly #ranks: number[] = []
  readonly #names: Hashes = new Map()
  readonly #promises: Hashes = new Map()
  readonly #required: number[] = []

  constructor(indexes: readonly PackagesIndex[]) {
    this.#indexes = indexes
    for (const [rank, { text }] of indexes.entries()) {
      for (let start = 0; start < text.length;) start = this.#add(text, start, rank)
    }
  }

  /** Lines of packages of that name. */
  linesOf(name: string): IndexLine[] {
    return numbersOf(this.#names, hashOf(name))
      .filter((number) => this.#nameOf(number) === name)
      .map((number) => this.#read(number))
  }

  /** Names of packages that may provide a name, each once; a few may not. */
  namesOfProviders(name: string): string[] {
    return [...new Set(numbersOf(this.#promises, hashOf(name)).map((number) => this.#nameOf(number)))]
  }

  /** Names of packages of which a version is Essential or of priority `required`, each once. */
  namesOfRequired(): string[] {
    return [...new Set(this.#required.map((number) => this.#nameOf(number)))]
  }

  *names(): Iterable<string> {
    for (const number of this.#starts.keys()) yield this.#nameOf(number)
  }

  #add(text: Buffer, start: number, rank: number): number {
    const number = this.#starts.length
    this.#starts.push(start)
    this.#ranks.push(rank)
    let field = 0
    let fieldStart = start
    let at = start
    for (; ; at++) {
      const byte = text[at]
      if (byte !== TAB && byte !== NEWLINE && byte !== undefined) continue
      if (field === 0) note(this.#names, hashOf(text, start, at), number)
      else if (field === PRIORITY || field === ESSENTIAL) this.#noteRequired(text, fieldStart, at, number)
      else if (field === PROVIDES && at > fieldStart) this.#notePromises(text, fieldStart, at, number)
      if (byte !== TAB) return at + 1
      field++
      fieldStart = at + 1
    }
  }

  #noteRequired(text: Buffer, start: number, end: number, number: number): void {
    if (start === end) return
    const value = text.toString('latin1', start, end)
    if (value === 'required' || value === 'yes') this.#required.push(number)
  }

  // `a (= 1), b:any | c`: what comes before a blank, a bracket, a colon or a separator is a name.
  #notePromises(text: Buffer, start: number, end: number, number: number): void {
    let nameStart = -1
    let isPast = false
    for (let at = start; at <= end; at++) {
      const byte = at === end ? SEPARATORS[0] : text[at]
      const isSeparator = byte === SEPARATORS[0] || byte === SEPARATORS[1]
      const isNamePart = !isPast && !isSeparator && !NAME_ENDS.has(byte ?? 0)
      if (isNamePart) {
        if (nameStart === -1) nameStart = at
        continue
      }
      if (nameStart !== -1) {
        note(this.#promises, hashOf(text, nameStart, at), number)
        isPast = true
        nameStart = -1
      }
      if (isSeparator) isPast = false
    }
  }

  #nameOf(number: number): string {
    const start = this.#starts[number] ?? 0
    const text = this.#textOf(number)
    return text.toString('latin1', start, text.indexOf(TAB, start))
  }

  #read(number: number): IndexLine {
    const start = this.#starts[number] ?? 0
    const rank = this.#ranks[number] ?? 0
    const text = this.#textOf(number)
    const end = text.indexOf(NEWLINE, start)
    const archive = this.#indexes[rank]?.archive ?? ''
    return { line: text.toString('latin1', start, end === -1 ? text.length : end), archive, rank }
  }

  #textOf(number: number): Buffer {
    return this.#indexes[this.#ranks[number] ?? 0]?.text ?? Buffer.alloc(0)
  }
}

/** `,` and `|`. */
const SEPARATORS = [44, 124] as const
/** Blank, tab, `(`, `:`, `[`, `<`. */
const NAME_ENDS: ReadonlySet<number> = new Set([32, 9, 40, 58, 91, 60])

function note(hashes: Hashes, hash: number, number: number): void {
  const known = hashes.get(hash)
  if (known === undefined) hashes.set(hash, number)
  else if (typeof known === 'number') hashes.set(hash, [known, number])
  else known.push(number)
}

function numbersOf(hashes: Hashes, hash: number): readonly number[] {
  const found = hashes.get(hash)
  return found === undefined ? [] : typeof found === 'number' ? [found] : found
}

/** FNV-1a over 31 bits: small integers take no room of their own. Equal hashes of different names cost a look, no more. */
function hashOf(name: Buffer | string, start = 0, end = name.length): number {
  let hash = 0x811c9dc5
  for (let at = start; at < end; at++) {
    const byte = typeof name === 'string' ? name.charCodeAt(at) : (name[at] ?? 0)
    hash = Math.imul(hash ^ byte, 0x01000193)
  }
  return hash & 0x3fffffff
}
