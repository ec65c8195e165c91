import type { RandomAccess } from '../../core/bytes.ts'
import { crc32 } from '../../core/crc32.ts'
import { BuildError } from '../../core/errors.ts'
import { normalizeName } from '../package-name.ts'
import { inflateEntry } from '../zip.ts'

const END = 'PK\x05\x06'
const END_64_LOCATOR = 0x07064b50
const END_64 = 0x06064b50
const ENTRY = 0x02014b50
const LOCAL = 0x04034b50
const SUFFIX = Buffer.from('.dist-info/METADATA')
const DIRECTORY_LIMIT_BYTES = 64 << 20
const METADATA_LIMIT_BYTES = 16 << 20

/**
 * Reads METADATA out of an opened wheel, looking at nothing else.
 *
 * The whole archive is judged when it is installed; here only one small file of it is wanted, and judging the twelve
 * thousand members of torch would cost more than the rest of its resolution. What is read is proven by size and CRC.
 *
 * @param name normalised name of the package, whose `.dist-info` it must be
 * @throws BuildError WHEEL_INVALID, ARCHIVE_INVALID
 */
export async function readMetadata(wheel: RandomAccess, name: string, what: string): Promise<string> {
  const directory = await readDirectory(wheel, what)
  const entry = findMetadata(directory, name, what)
  if (entry.endOffset - entry.offset > METADATA_LIMIT_BYTES || entry.sizeBytes > METADATA_LIMIT_BYTES) {
    throw invalid(what, 'its METADATA is too large')
  }
  const bytes = Buffer.from(await wheel.read(entry.offset, entry.endOffset - entry.offset))
  const isLocal = bytes.length >= 30 && bytes.readUInt32LE(0) === LOCAL
  const start = isLocal ? 30 + bytes.readUInt16LE(26) + bytes.readUInt16LE(28) : bytes.length
  const data = bytes.subarray(start, start + entry.compressedBytes)
  if (data.length !== entry.compressedBytes) throw invalid(what, 'its METADATA is not where its directory says')
  return inflate(data, entry, what).toString('utf8')
}

interface Directory {
  readonly bytes: Buffer
  readonly offset: number
}

interface Entry {
  readonly name: string
  readonly method: number
  readonly crc32: number
  readonly compressedBytes: number
  readonly sizeBytes: number
  readonly offset: number
  /** Where the next member or the directory starts. */
  readonly endOffset: number
}

/** What the first read asks for: enough for the directory and METADATA of most wheels, and for every end record. */
export const FIRST_TAIL_BYTES = 32 << 10

async function readDirectory(wheel: RandomAccess, what: string): Promise<Directory> {
  const tailBytes = Math.min(wheel.sizeBytes, FIRST_TAIL_BYTES)
  const start = wheel.sizeBytes - tailBytes
  const tail = Buffer.from(await wheel.read(start, tailBytes))
  const at = tail.lastIndexOf(END, tail.length, 'latin1')
  // No wheel has a long comment, so an end record that is not here is nowhere.
  if (at < 0 || at + 22 > tail.length || at + 22 + tail.readUInt16LE(at + 20) !== tail.length) {
    throw invalid(what, 'it has no end record')
  }
  const { offset, sizeBytes } = directoryPlace(tail, at, start, what)
  if (sizeBytes > DIRECTORY_LIMIT_BYTES || offset + sizeBytes > start + at)
    throw invalid(what, 'its directory is misplaced')
  return { offset, bytes: Buffer.from(await wheel.read(offset, sizeBytes)) }
}

function directoryPlace(tail: Buffer, at: number, start: number, what: string): { offset: number; sizeBytes: number } {
  const [sizeBytes, offset] = [tail.readUInt32LE(at + 12), tail.readUInt32LE(at + 16)]
  const isLarge = offset === 0xffffffff || sizeBytes === 0xffffffff || tail.readUInt16LE(at + 10) === 0xffff
  if (!isLarge) return { offset, sizeBytes }
  const locator = at - 20
  const end =
    locator < 0 || tail.readUInt32LE(locator) !== END_64_LOCATOR
      ? -1
      : Number(tail.readBigUInt64LE(locator + 8)) - start
  if (end < 0 || end + 56 > locator || tail.readUInt32LE(end) !== END_64)
    throw invalid(what, 'its zip64 end record is misplaced')
  return { sizeBytes: Number(tail.readBigUInt64LE(end + 40)), offset: Number(tail.readBigUInt64LE(end + 48)) }
}

function findMetadata({ bytes, offset: directoryOffset }: Directory, name: string, what: string): Entry {
  const found: Omit<Entry, 'endOffset'>[] = []
  const offsets: number[] = []
  for (let at = 0; at < bytes.length;) {
    if (at + 46 > bytes.length || bytes.readUInt32LE(at) !== ENTRY) throw invalid(what, 'its directory is broken')
    const nameEnd = at + 46 + bytes.readUInt16LE(at + 28)
    const extraEnd = nameEnd + bytes.readUInt16LE(at + 30)
    offsets.push(bytes.readUInt32LE(at + 42))
    if (
      bytes.compare(SUFFIX, 0, SUFFIX.length, Math.max(0, nameEnd - SUFFIX.length), Math.min(nameEnd, bytes.length)) ===
      0
    ) {
      const entry = readEntry(bytes, at, nameEnd, extraEnd)
      const project = /^([^/]+?)-[^/]+\.dist-info\/METADATA$/.exec(entry.name)?.[1]
      if (project !== undefined && normalizeName(project) === name) found.push(entry)
    }
    at = extraEnd + bytes.readUInt16LE(at + 32)
  }
  const [entry] = found
  if (entry === undefined || found.length > 1) {
    throw new BuildError('WHEEL_INVALID', `The wheel has ${found.length} METADATA files of its own, not one: ${what}`)
  }
  const behind = offsets.filter((offset) => offset > entry.offset && offset !== 0xffffffff)
  return { ...entry, endOffset: behind.reduce((a, b) => Math.min(a, b), directoryOffset) }
}

function readEntry(bytes: Buffer, at: number, nameEnd: number, extraEnd: number): Omit<Entry, 'endOffset'> {
  const entry = {
    name: bytes.toString('utf8', at + 46, nameEnd),
    method: bytes.readUInt16LE(at + 10),
    crc32: bytes.readUInt32LE(at + 16),
    compressedBytes: bytes.readUInt32LE(at + 20),
    sizeBytes: bytes.readUInt32LE(at + 24),
    offset: bytes.readUInt32LE(at + 42),
  }
  // Sizes and offsets that do not fit 32 bits stand in an extra field, in this order (APPNOTE 4.5.3).
  for (let field = nameEnd; field + 4 <= extraEnd; field += 4 + bytes.readUInt16LE(field + 2)) {
    if (bytes.readUInt16LE(field) !== 1) continue
    let place = field + 4
    const next = (value: number): number => {
      if (value !== 0xffffffff || place + 8 > extraEnd) return value
      place += 8
      return Number(bytes.readBigUInt64LE(place - 8))
    }
    const sizeBytes = next(entry.sizeBytes)
    const compressedBytes = next(entry.compressedBytes)
    return { ...entry, sizeBytes, compressedBytes, offset: next(entry.offset) }
  }
  return entry
}

function inflate(data: Buffer, entry: Entry, what: string): Buffer {
  if (entry.method === 8) {
    const flags = { isDirectory: false, method: 'deflate', mode: undefined, flags: 0 } as const
    return inflateEntry(data, { ...entry, ...flags }, what)
  }
  if (entry.method !== 0) throw invalid(what, `its METADATA is compressed by method ${entry.method}`)
  if (data.length !== entry.sizeBytes || crc32(data) !== entry.crc32) throw invalid(what, 'its METADATA is damaged')
  return data
}

function invalid(what: string, why: string): BuildError {
  return new BuildError('WHEEL_INVALID', `The wheel ${what} cannot be read: ${why}`)
}
