import { MarkedStrings } from '../core/marked-strings.ts'

const HEAD_BYTES = 4096
/** No dynamic section known comes near. */
const MAX_DYNAMIC_BYTES = 1 << 16
/** The largest tables of names (libtorch) end before this place of the file. */
const MAX_TABLE_BYTES = 64 * 2 ** 20

const PT_LOAD = 1
const PT_DYNAMIC = 2
const DT_NEEDED = 1n
const DT_STRTAB = 5n
const DT_SONAME = 14n
const DT_RPATH = 15n
const DT_RUNPATH = 29n
const MACHINES: Readonly<Record<number, string>> = { 62: 'x86_64', 183: 'aarch64' }

interface Segment {
  readonly offset: number
  readonly address: number
  readonly bytes: number
}

/** What a shared library asks of the system it runs on. */
export interface LibraryFacts {
  /** `x86_64`, `aarch64` or a number. */
  readonly machine: string
  readonly soname?: string | undefined
  /** Names of libraries, as the loader looks for them. */
  readonly needed: readonly string[]
  /** RPATH or RUNPATH, split at colons; may start with `$ORIGIN`. */
  readonly searchPath: readonly string[]
}

/** The part of an `ElfScanner` that finds the dynamic section. */
export class ElfImage {
  #position = 0
  #head: Buffer = NOTHING
  #isParsed = false
  #machine = ''
  #loads: readonly Segment[] = []
  #dynamic: Segment | undefined
  readonly #dynamicParts: Buffer[] = []
  readonly #strings = new MarkedStrings(MARKS)

  /** @param isOpaque nothing in the chunk can be a string of the library's own: it is the inside of GPU code */
  write(chunk: Buffer, isOpaque = false): void {
    if (!this.#isParsed) this.#readHead(chunk)
    this.#collectDynamic(chunk)
    if (!isOpaque && this.#isSearched(chunk.length)) this.#strings.write(chunk, this.#position)
    this.#position += chunk.length
  }

  finish(): LibraryFacts | undefined {
    if (!this.#isParsed) this.#parseHead()
    if (this.#machine === '') return undefined
    const entries = this.#dynamicEntries()
    const tableAddress = entries.find(([tag]) => tag === DT_STRTAB)?.[1]
    const table = tableAddress === undefined ? undefined : this.#offsetOf(tableAddress)
    const texts = (...tags: bigint[]): string[] =>
      entries
        .filter(([tag]) => tags.includes(tag))
        .map(([, value]) => (table === undefined ? undefined : this.#strings.textAt(table + value)))
        .filter((text) => text !== undefined)
    const [soname] = texts(DT_SONAME)
    return {
      machine: this.#machine,
      ...(soname === undefined ? {} : { soname }),
      needed: texts(DT_NEEDED),
      searchPath: texts(DT_RPATH, DT_RUNPATH).flatMap((path) => path.split(':').filter((part) => part !== '')),
    }
  }

  #readHead(chunk: Buffer): void {
    this.#head = Buffer.concat([this.#head, chunk.subarray(0, HEAD_BYTES - this.#head.length)])
    if (this.#head.length === HEAD_BYTES) this.#parseHead()
  }

  #parseHead(): void {
    this.#isParsed = true
    const head = this.#head
    // Magic, 64 bits, little endian.
    if (head.length < 64 || head.readUInt32BE(0) !== 0x7f454c46 || head[4] !== 2 || head[5] !== 1) return
    const machine = head.readUInt16LE(18)
    this.#machine = MACHINES[machine] ?? String(machine)
    const start = Number(head.readBigUInt64LE(32))
    const stride = head.readUInt16LE(54)
    const segments = Array.from({ length: head.readUInt16LE(56) }, (_, n) => start + n * stride)
      .filter((at) => stride >= 56 && at + 56 <= head.length)
      .map((at) => ({
        type: head.readUInt32LE(at),
        offset: Number(head.readBigUInt64LE(at + 8)),
        address: Number(head.readBigUInt64LE(at + 16)),
        bytes: Number(head.readBigUInt64LE(at + 32)),
      }))
    this.#loads = segments.filter(({ type }) => type === PT_LOAD).sort((a, b) => a.offset - b.offset)
    this.#dynamic = segments.find(({ type }) => type === PT_DYNAMIC)
    // What lies in the head itself has gone by already.
    this.#collectDynamic(head.subarray(0, Math.min(head.length, this.#position)), 0)
  }

  /**
   * Whether a chunk may hold strings of the dynamic section: linkers put them near the start of the first segment,
   * before code and data, and `patchelf` into a segment of their own at the end.
   */
  #isSearched(bytes: number): boolean {
    const [first, ...others] = this.#loads
    if (first === undefined) return true
    const start = this.#position
    const end = start + bytes
    const last = others.at(-1)
    const isInFirst = start < Math.min(first.offset + first.bytes, MAX_TABLE_BYTES) && end > first.offset
    return isInFirst || (last !== undefined && end > last.offset)
  }

  #collectDynamic(chunk: Buffer, position = this.#position): void {
    if (this.#dynamic === undefined) return
    const start = this.#dynamic.offset - position
    const end = start + Math.min(this.#dynamic.bytes, MAX_DYNAMIC_BYTES)
    if (end > 0 && start < chunk.length)
      this.#dynamicParts.push(Buffer.from(chunk.subarray(Math.max(0, start), Math.min(end, chunk.length))))
  }

  #dynamicEntries(): readonly (readonly [bigint, number])[] {
    const bytes = Buffer.concat(this.#dynamicParts)
    const entries: [bigint, number][] = []
    for (let at = 0; at + 16 <= bytes.length; at += 16) {
      const tag = bytes.readBigUInt64LE(at)
      if (tag === 0n) break
      entries.push([tag, Number(bytes.readBigUInt64LE(at + 8))])
    }
    return entries
  }

  #offsetOf(address: number): number | undefined {
    const load = this.#loads.find((load) => address >= load.address && address < load.address + load.bytes)
    return load && load.offset + address - load.address
  }
}

/** What the strings of interest hold: a library's suffix, a relative search path, most absolute ones. */
const MARKS = ['.so', '$ORIGIN', '/lib']

const NOTHING: Buffer = Buffer.alloc(0)
