import { RECORD_FIELDS } from './package-record.ts'

const NEWLINE = 10
const COLON = 58
const BLOCK_BYTES = 1 << 20

const FIELD_POSITION: ReadonlyMap<string, number> = new Map(RECORD_FIELDS.map((name, position) => [name, position]))
/** First letter and length of each field's name: tells most other fields apart without reading their names. */
const SHAPES: ReadonlySet<number> = new Set(RECORD_FIELDS.map((name) => shapeOf(name.charCodeAt(0), name.length)))

/**
 * Keeps of a package index what the solver needs while its bytes stream by: one line a package, its fields apart by tabs
 * in the order of `RECORD_FIELDS`.
 *
 * It does not go through the general deb822 parser and makes no text of what is passed over: an index of Debian has 50 MB,
 * of which this keeps half, outside of the heap. Names, versions and paths are ASCII; other text stays as it came.
 */
export class IndexSlimmer {
  readonly #architecture: string
  readonly #blocks: Buffer[] = []
  #block = Buffer.allocUnsafe(BLOCK_BYTES)
  #filled = 0
  #rest: Buffer = Buffer.alloc(0)
  #fields: string[] = []
  #last = -1

  constructor(architecture: string) {
    this.#architecture = architecture
  }

  /** Takes the next bytes. @throws RangeError for what is no index */
  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    const text = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    let start = 0
    for (let end = text.indexOf(NEWLINE); end !== -1; end = text.indexOf(NEWLINE, start)) {
      this.#line(text, start, end)
      start = end + 1
    }
    this.#rest = Buffer.from(text.subarray(start))
  }

  /** All lines, each with its line break and whole in one of the blocks. @throws RangeError as `push` */
  end(): Buffer[] {
    this.#line(this.#rest, 0, this.#rest.length)
    this.#flush()
    return [...this.#blocks, this.#block.subarray(0, this.#filled)]
  }

  #line(text: Buffer, start: number, end: number): void {
    const first = text[start]
    if (start === end || (first === 13 && end - start === 1)) return this.#flush()
    if (first === 32 || first === 9) {
      if (this.#last !== -1) this.#fields[this.#last] += ` ${clean(text.toString('latin1', start, end))}`
      return
    }
    const colon = text.indexOf(COLON, start)
    if (colon <= start || colon >= end)
      throw new RangeError(`Not a field: ${text.toString('latin1', start, Math.min(end, start + 80))}`)
    this.#last = -1
    if (!SHAPES.has(shapeOf(first ?? 0, colon - start))) return
    this.#last = FIELD_POSITION.get(text.toString('latin1', start, colon).toLowerCase()) ?? -1
    if (this.#last !== -1) this.#fields[this.#last] = clean(text.toString('latin1', colon + 1, end))
  }

  #flush(): void {
    const fields = this.#fields
    this.#fields = []
    this.#last = -1
    if (fields.length === 0) return
    const [name, version, architecture, filename, size, sha256] = fields
    if (architecture !== 'all' && architecture !== this.#architecture) return
    const isComplete = name !== undefined && version !== undefined && filename !== undefined
    if (!isComplete || !/^\d+$/.test(size ?? '') || !/^[0-9a-f]{64}$/.test(sha256 ?? '')) {
      throw new RangeError(`An entry without name, version, file, size or SHA256: ${name ?? '?'}`)
    }
    if (filename.startsWith('/') || filename.split('/').includes('..')) {
      throw new RangeError(`A file outside of the archive: ${filename}`)
    }
    this.#write(`${Array.from(RECORD_FIELDS, (_, position) => fields[position] ?? '').join('\t')}\n`)
  }

  #write(line: string): void {
    if (this.#filled + line.length > this.#block.length) {
      this.#blocks.push(this.#block.subarray(0, this.#filled))
      this.#block = Buffer.allocUnsafe(Math.max(BLOCK_BYTES, line.length))
      this.#filled = 0
    }
    this.#filled += this.#block.write(line, this.#filled, 'latin1')
  }
}

function shapeOf(firstLetter: number, length: number): number {
  // Lower case, whatever it was.
  return (firstLetter | 32) * 256 + Math.min(length, 255)
}

function clean(value: string): string {
  return value.replaceAll('\t', ' ').trim()
}
