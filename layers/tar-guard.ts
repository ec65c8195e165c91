import { isUtf8 } from 'node:buffer'
import { BuildError } from '../src/core/errors.ts'

const BLOCK = 512
const MAX_EXTENSION_BYTES = 1024 * 1024
const MAX_EXTENSION_CHAIN = 8

/**
 * Passes an uncompressed tar on, up to its end marker, and refuses what tar readers disagree about.
 *
 * The reader behind it (tar-stream) is lenient: it takes records with lying lengths, global headers that rename later
 * entries, sizes on entries that have no data, and headers of any size. Each of these lets two tools see different files
 * in the same archive, so none passes here: checksums, octal and base-256 numbers, PAX record lengths, at most 1 MiB of
 * extension header, no sparse files, no unknown entry types, no global `path`, `linkpath` or `size`.
 *
 * Bytes after the two zero blocks are swallowed: they count for the digest, which is computed before, and hold no entries.
 *
 * @param what names the archive in errors
 * @throws BuildError ARCHIVE_INVALID, with the offset of the header
 * @see GHSA-w476-p2h3-79g9, GHSA-3cv2-h65g-fgmm, CVE-2025-58183
 */
export async function* guardTar(stream: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
  const guard = new TarGuard(what)
  for await (const chunk of stream) {
    const passed = guard.push(chunk)
    if (passed.length > 0) yield passed
  }
  guard.end()
}

/** An entry's header, as it stands in the archive. */
export interface TarHead {
  readonly block: Buffer
  /** The extended headers before it that are its own, each with its data. */
  readonly extensions: readonly Buffer[]
  /** Where the data begins in the archive. */
  readonly offset: number
}

/** What {@link guardTar} does, for bytes that are given piece by piece. */
export class TarGuard {
  readonly #what: string
  readonly #onEntry: ((head: TarHead) => void) | undefined
  #extensions: Buffer[] = []
  #offset = 0
  /** Bytes of the current entry, padding included, that need no look. */
  #skip = 0
  /** A header block, or a header block and its extension data, not complete yet. */
  #pending: Buffer = Buffer.alloc(0)
  #needed = BLOCK
  #paxSize: number | undefined
  #chain = 0
  #zeroBlocks = 0

  constructor(what: string, onEntry?: (head: TarHead) => void) {
    this.#what = what
    this.#onEntry = onEntry
  }

  /** Looks at the next bytes and gives back those that belong to the archive. */
  push(chunk: Uint8Array): Uint8Array {
    let at = 0
    while (at < chunk.length && this.#zeroBlocks < 2) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, chunk.length - at)
        this.#skip -= step
        at += step
        this.#offset += step
        continue
      }
      const step = Math.min(this.#needed - this.#pending.length, chunk.length - at)
      const piece = chunk.subarray(at, at + step)
      this.#pending = this.#pending.length === 0 ? Buffer.from(piece) : Buffer.concat([this.#pending, piece])
      at += step
      this.#offset += step
      if (this.#pending.length === this.#needed) this.#check()
    }
    return at === chunk.length ? chunk : chunk.subarray(0, at)
  }

  end(): void {
    if (this.#zeroBlocks === 2) return
    if (this.#skip > 0 || this.#pending.length > 0 || this.#chain > 0) {
      throw new BuildError('ARCHIVE_INVALID', `${this.#what} is cut short`)
    }
  }

  #check(): void {
    try {
      this.#complete()
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      const { message, offset } = error
      throw new BuildError(
        'ARCHIVE_INVALID',
        `${this.#what} is not a sound tar archive: ${message} at byte ${offset}`,
        {
          data: { offset },
        },
      )
    }
  }

  #complete(): void {
    const bytes = this.#pending
    this.#pending = Buffer.alloc(0)
    if (this.#needed > BLOCK) {
      this.#needed = BLOCK
      this.#extension(bytes)
      return
    }
    const start = this.#offset - BLOCK
    if (bytes.every((byte) => byte === 0)) {
      this.#zeroBlocks++
      return
    }
    if (this.#zeroBlocks === 1) throw new Problem(start, 'an entry after an end marker')
    this.#header(bytes, start)
  }

  #header(block: Buffer, start: number): void {
    checkChecksum(block, start)
    const type = String.fromCharCode(block[156] ?? 0)
    const size = readNumber(block, 124, 12, start, 'size')
    for (const [at, what] of NUMBERS) readNumber(block, at, at === 136 ? 12 : 8, start, what)
    if (EXTENSIONS.includes(type)) {
      if (size > MAX_EXTENSION_BYTES) throw new Problem(start, `an extended header of ${size} bytes`)
      if (++this.#chain > MAX_EXTENSION_CHAIN) throw new Problem(start, 'too many extended headers in a row')
      if (size === 0) throw new Problem(start, 'an empty extended header')
      // Kept whole with its header, so that its records can be read.
      this.#needed = BLOCK + padded(size)
      this.#pending = block
      return
    }
    const actual = this.#paxSize ?? size
    this.#paxSize = undefined
    this.#chain = 0
    if (type === 'S') throw new Problem(start, 'a sparse file')
    if (FILES.includes(type)) this.#skip = padded(actual)
    else if (!HEADER_ONLY.includes(type))
      throw new Problem(start, `an entry of the unknown type ${JSON.stringify(type)}`)
    else if (actual !== 0) throw new Problem(start, `an entry of type ${type} that claims ${actual} bytes of data`)
    this.#onEntry?.({ block, extensions: this.#extensions, offset: this.#offset })
    this.#extensions = []
  }

  #extension(bytes: Buffer): void {
    const start = this.#offset - bytes.length
    const type = String.fromCharCode(bytes[156] ?? 0)
    if (type !== 'g' && this.#onEntry !== undefined) this.#extensions.push(bytes)
    if (type === 'L' || type === 'K') return
    for (const [key, value] of paxRecords(extensionData(bytes, start), start)) {
      if (key.startsWith('GNU.sparse.')) throw new Problem(start, 'a sparse file')
      if (type === 'g' && SHIFTING.includes(key)) throw new Problem(start, `a global header that sets ${key}`)
      if (key === 'size') {
        if (!/^\d{1,15}$/.test(value))
          throw new Problem(start, `a PAX size that is no number: ${JSON.stringify(value)}`)
        this.#paxSize = Number(value)
      }
    }
  }
}

const EXTENSIONS = ['x', 'g', 'L', 'K']
const FILES = ['0', '\0', '7']
const HEADER_ONLY = ['1', '2', '3', '4', '5', '6']
/** Global values of these keys would rename or resize every later entry. */
const SHIFTING = ['path', 'linkpath', 'size']
const NUMBERS = [
  [100, 'mode'],
  [108, 'uid'],
  [116, 'gid'],
  [136, 'mtime'],
  [329, 'device number'],
  [337, 'device number'],
] as const

function checkChecksum(block: Buffer, start: number): void {
  let sum = 8 * 32
  for (let at = 0; at < BLOCK; at++) if (at < 148 || at >= 156) sum += block[at] ?? 0
  if (readNumber(block, 148, 8, start, 'checksum') !== sum) throw new Problem(start, 'a header with a wrong checksum')
}

/**
 * Reads a numeric field; only `mtime` may be negative.
 *
 * @see POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar, "Extensions to tar format" (base-256)
 */
export function readNumber(block: Buffer, at: number, length: number, start: number, what: string): number {
  const field = block.subarray(at, at + length)
  const first = field[0] ?? 0
  if (first === 0xff && what === 'mtime') return -1
  if (first >= 0x80) {
    let value = first & 0x7f
    for (const byte of field.subarray(1)) value = value * 256 + byte
    if (first !== 0x80 || !Number.isSafeInteger(value)) throw new Problem(start, `a ${what} that is no number in range`)
    return value
  }
  const text = field.toString('latin1')
  const match = /^ *([0-7]*)[\0 ]*$/.exec(text)
  if (match === null) throw new Problem(start, `a ${what} that is no number: ${JSON.stringify(text)}`)
  return match[1] === '' || match[1] === undefined ? 0 : Number.parseInt(match[1], 8)
}

/** What stands behind the block of an extended header. */
export function extensionData(bytes: Buffer, start: number): Buffer {
  return bytes.subarray(BLOCK, BLOCK + readNumber(bytes, 124, 12, start, 'size'))
}

/** The records of a PAX header, checked: `LENGTH key=value\n`, where LENGTH counts the whole record. */
export function* paxRecords(data: Buffer, start: number): Generator<[string, string]> {
  let at = 0
  while (at < data.length) {
    const space = data.indexOf(0x20, at)
    const digits = space < 0 ? '' : data.toString('latin1', at, space)
    const end = at + Number(digits)
    const isWhole = /^[1-9]\d{0,7}$/.test(digits) && end <= data.length && end > space + 2 && data[end - 1] === 0x0a
    const equals = isWhole ? data.indexOf(0x3d, space) : -1
    if (equals < 0 || equals >= end) throw new Problem(start, 'a PAX record that lies about its length')
    const key = data.toString('utf8', space + 1, equals)
    const value = data.subarray(equals + 1, end - 1)
    if (key.endsWith('path') && !isUtf8(value)) {
      const shown = JSON.stringify(value.toString('utf8', 0, 200))
      throw new Problem(start, `a PAX \`${key}\` that is no UTF-8, ${shown},`)
    }
    yield [key, value.toString('utf8')]
    at = end
  }
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK
}

/** What is wrong, and where; the guard adds in which archive. */
class Problem extends Error {
  readonly offset: number

  constructor(offset: number, message: string) {
    super(message)
    this.offset = offset
  }
}
