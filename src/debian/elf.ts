import { MarkedStrings } from '../core/marked-strings.ts'

/** What the loader's cache says of a shared library. */
export interface LibraryFacts {
  /** DT_SONAME; undefined when the library has none. */
  readonly soname: string | undefined
  /** 1 is 32 bit, 2 is 64 bit. */
  readonly elfClass: number
  /** e_machine: 62 is x86-64, 183 is AArch64. */
  readonly machine: number
}

/** What is kept of a library's beginning as it is: most tables of names lie in there whole. */
const PREFIX_BYTES = 1 << 20
/** The largest tables of names (libtorch) end before this place of the file. */
const MAX_TABLE_BYTES = 64 << 20
const MAX_DYNAMIC_BYTES = 1 << 16
const MAX_NAME_BYTES = 4096
const DT_STRTAB = 5
const DT_SONAME = 14
const PT_LOAD = 1
const PT_DYNAMIC = 2

interface Segment {
  readonly type: number
  readonly offset: number
  readonly address: number
  readonly sizeBytes: number
}

/**
 * Learns a library's SONAME while its bytes stream by: keeps its beginning, its dynamic segment and, of tables of names that
 * reach further, the names that hold `.so`. A name without that, behind the first MiB, is not found.
 *
 * Damaged headers give no facts rather than an error: a file that is not for the loader may have any content.
 */
export class LibraryReader {
  readonly #parts: Buffer[] = []
  #prefixBytes = 0
  #prefixLimit = PREFIX_BYTES
  #offset = 0
  #header: { readonly elfClass: number; readonly machine: number; readonly segments: readonly Segment[] } | undefined
  #isElf = true
  #dynamic: Buffer | undefined
  /** Names that lie behind the prefix. */
  readonly #names = new MarkedStrings(['.so'])
  #namesEnd = 0

  push(chunk: Uint8Array): void {
    if (!this.#isElf) return
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    if (this.#prefixBytes < this.#prefixLimit) {
      // A copy: the memory of a chunk is used again.
      const part = Buffer.from(bytes.subarray(0, this.#prefixLimit - this.#prefixBytes))
      this.#parts.push(part)
      this.#prefixBytes += part.length
    }
    if (this.#header === undefined && this.#prefixBytes >= 64) this.#readHeader()
    this.#keepDynamic(bytes)
    if (this.#offset < this.#namesEnd) this.#names.write(bytes, this.#offset)
    this.#offset += bytes.length
  }

  finish(): LibraryFacts | undefined {
    if (this.#header === undefined) this.#readHeader()
    const { elfClass, machine } = this.#header ?? {}
    if (!this.#isElf || elfClass === undefined || machine === undefined) return undefined
    return { soname: this.#soname(), elfClass, machine }
  }

  #readHeader(): void {
    const bytes = this.#prefix()
    const isElf = bytes.length >= 64 && bytes.readUInt32BE(0) === 0x7f454c46 && bytes[5] === 1
    const elfClass = bytes[4]
    if (!isElf || (elfClass !== 1 && elfClass !== 2)) {
      this.#isElf = false
      this.#parts.length = 0
      return
    }
    const segments = readSegments(bytes, elfClass)
    if (segments === undefined) return
    this.#header = { elfClass, machine: bytes.readUInt16LE(18), segments }
    const loaded = segments.find((segment) => segment.type === PT_LOAD)
    // The dynamic string table lies in the first segment that is loaded.
    const tableEnd = loaded === undefined ? 0 : loaded.offset + loaded.sizeBytes
    if (loaded !== undefined) this.#prefixLimit = Math.min(PREFIX_BYTES, tableEnd)
    if (tableEnd > PREFIX_BYTES) this.#namesEnd = Math.min(MAX_TABLE_BYTES, tableEnd)
    const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC)
    if (dynamic !== undefined && dynamic.sizeBytes <= MAX_DYNAMIC_BYTES) this.#dynamic = Buffer.alloc(dynamic.sizeBytes)
  }

  #prefix(): Buffer {
    const [first] = this.#parts
    if (this.#parts.length === 1 && first !== undefined) return first
    const whole = Buffer.concat(this.#parts)
    this.#parts.splice(0, this.#parts.length, whole)
    return whole
  }

  #keepDynamic(bytes: Buffer): void {
    const segment = this.#header?.segments.find(({ type }) => type === PT_DYNAMIC)
    if (segment === undefined || this.#dynamic === undefined) return
    const start = Math.max(segment.offset, this.#offset)
    const end = Math.min(segment.offset + segment.sizeBytes, this.#offset + bytes.length)
    if (start < end) bytes.copy(this.#dynamic, start - segment.offset, start - this.#offset, end - this.#offset)
  }

  #soname(): string | undefined {
    const { elfClass, segments = [] } = this.#header ?? {}
    const dynamic = this.#dynamic
    if (dynamic === undefined || elfClass === undefined) return undefined
    const word = elfClass === 2 ? 8 : 4
    const read = (at: number): number => (word === 8 ? Number(dynamic.readBigUInt64LE(at)) : dynamic.readUInt32LE(at))
    let table: number | undefined
    let name: number | undefined
    for (let at = 0; at + 2 * word <= dynamic.length; at += 2 * word) {
      if (read(at) === DT_STRTAB) table = read(at + word)
      if (read(at) === DT_SONAME) name = read(at + word)
    }
    if (table === undefined || name === undefined) return undefined
    const address = table
    const home = segments.find(
      (segment) =>
        segment.type === PT_LOAD && address >= segment.address && address < segment.address + segment.sizeBytes,
    )
    return home === undefined ? undefined : this.#textAt(address - home.address + home.offset + name)
  }

  /** A text that ends with a zero byte. Read where it lies: joining a megabyte for one name would double it. */
  #textAt(start: number): string | undefined {
    const found: Buffer[] = []
    let wanted = MAX_NAME_BYTES + 1
    let at = 0
    for (const part of this.#parts) {
      const from = Math.max(0, start - at)
      const piece = part.subarray(from, Math.min(part.length, from + wanted))
      at += part.length
      if (piece.length === 0) continue
      found.push(piece)
      wanted -= piece.length
      if (wanted === 0) break
    }
    const text = Buffer.concat(found)
    const end = text.indexOf(0)
    if (end !== -1) return text.toString('utf8', 0, end)
    const behind = this.#names.textAt(start)
    return behind === undefined ? undefined : Buffer.from(behind, 'latin1').toString('utf8')
  }
}

function readSegments(bytes: Buffer, elfClass: number): Segment[] | undefined {
  const is64 = elfClass === 2
  const offset = is64 ? Number(bytes.readBigUInt64LE(32)) : bytes.readUInt32LE(28)
  const entryBytes = bytes.readUInt16LE(is64 ? 54 : 42)
  const count = bytes.readUInt16LE(is64 ? 56 : 44)
  if (entryBytes < (is64 ? 56 : 32) || offset + entryBytes * count > bytes.length) return undefined
  return Array.from({ length: count }, (_, index) => {
    const at = offset + index * entryBytes
    return is64
      ? {
          type: bytes.readUInt32LE(at),
          offset: Number(bytes.readBigUInt64LE(at + 8)),
          address: Number(bytes.readBigUInt64LE(at + 16)),
          sizeBytes: Number(bytes.readBigUInt64LE(at + 32)),
        }
      : {
          type: bytes.readUInt32LE(at),
          offset: bytes.readUInt32LE(at + 4),
          address: bytes.readUInt32LE(at + 8),
          sizeBytes: bytes.readUInt32LE(at + 16),
        }
  })
}
