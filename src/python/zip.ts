import { inflateRawSync } from 'node:zlib'
import { asBuffer, type RandomAccess } from '../core/bytes.ts'
import { crc32 } from '../core/crc32.ts'
import { BuildError } from '../core/errors.ts'
import { checkNames, decodeName } from './zip-names.ts'

/** One member of a zip archive, as its central directory tells. */
export interface ZipEntry {
  /** Relative, `/` between parts, proven safe to lay under a folder; a directory's ends with `/`. */
  readonly name: string
  readonly isDirectory: boolean
  readonly method: 'stored' | 'deflate'
  readonly crc32: number
  readonly compressedBytes: number
  readonly sizeBytes: number
  /** Permission bits when the archive was made on Unix, else undefined. */
  readonly mode: number | undefined
  readonly flags: number
  /** Where the local header starts. */
  readonly offset: number
  /** Where the next member or the central directory starts: all bytes between belong to this one. */
  readonly endOffset: number
}

/** A zip archive whose central directory was read and found sound. */
export interface ZipArchive {
  /** In the order in which the bytes lie, which is the order to stream them in. */
  readonly entries: readonly ZipEntry[]
  /** Where the members end and the central directory starts. */
  readonly directoryOffset: number
  /** Names the archive in errors. */
  readonly what: string
}

/** Bounds that no honest wheel meets (the largest known: 30,000 members, 1.7 GB unpacked per GB). */
const MAX_DIRECTORY_BYTES = 64 * 2 ** 20
const MAX_TOTAL_BYTES = 64 * 2 ** 30
/** Deflate cannot do better than 258 bytes from two bits. */
const MAX_DEFLATE_RATIO = 1032

const END_BYTES = 22
const END64_BYTES = 56
const LOCATOR_BYTES = 20
const LOCAL_BYTES = 30
const CENTRAL_BYTES = 46

/** General purpose flags: encryption, patch data, strong encryption, masked headers. */
const REFUSED_FLAGS = 0x0001 | 0x0020 | 0x0040 | 0x2000
const FLAG_DESCRIPTOR = 0x0008

/**
 * Reads the central directory of a zip archive, from its tail only, and refuses whatever two readers could
 * understand differently.
 *
 * Local headers are compared when the members are read ({@link readEntry}, `streamEntries`), so a remote archive
 * costs one or two range requests.
 *
 * @param what names the archive in errors: a file name or a masked URL
 * @throws BuildError ARCHIVE_INVALID
 * @see APPNOTE.TXT 6.3.10, sections 4.3 and 4.4
 */
export async function readZip(source: RandomAccess, what: string): Promise<ZipArchive> {
  const end = await findEnd(source, what)
  if (end.directoryBytes > MAX_DIRECTORY_BYTES) throw invalid(what, 'its directory is too large')
  const directory = asBuffer(await source.read(end.directoryOffset, end.directoryBytes))
  const raw: Omit<ZipEntry, 'endOffset'>[] = []
  let at = 0
  for (let n = 0; n < end.count; n++) {
    const { entry, next } = parseCentral(directory, at, what)
    raw.push(entry)
    at = next
  }
  if (at !== directory.length) throw invalid(what, 'its end record counts fewer entries than the directory has')
  checkNames(raw, what)
  return { entries: withExtents(raw, end.directoryOffset, what), directoryOffset: end.directoryOffset, what }
}

/**
 * Reads one member whole and proves its local header, size and CRC-32.
 *
 * @param limitBytes refuses a larger member, whose bytes are to be streamed instead
 * @throws BuildError ARCHIVE_INVALID
 */
export async function readEntry(
  source: RandomAccess,
  archive: ZipArchive,
  entry: ZipEntry,
  limitBytes: number,
): Promise<Buffer> {
  if (Math.max(entry.sizeBytes, entry.endOffset - entry.offset) > limitBytes)
    throw invalid(archive.what, `\`${entry.name}\` is larger than ${limitBytes} bytes`)
  const bytes = asBuffer(await source.read(entry.offset, entry.endOffset - entry.offset))
  const headerBytes = localHeaderBytes(bytes, entry, archive.what)
  checkLocalHeader(bytes.subarray(0, headerBytes), entry, archive.what)
  const dataEnd = headerBytes + entry.compressedBytes
  checkDescriptor(bytes.subarray(dataEnd), entry, archive.what)
  return inflateEntry(bytes.subarray(headerBytes, dataEnd), entry, archive.what)
}

/** Turns a member's compressed bytes into its content. @throws BuildError ARCHIVE_INVALID */
export function inflateEntry(data: Uint8Array, entry: ZipEntry, what: string): Buffer {
  const content = entry.method === 'stored' ? Buffer.from(data) : inflate(data, entry, what)
  if (content.length !== entry.sizeBytes)
    throw invalid(what, `\`${entry.name}\` has another size than the directory says`)
  if (crc32(content) !== entry.crc32) throw invalid(what, `\`${entry.name}\` has a wrong CRC-32`)
  return content
}

function inflate(data: Uint8Array, entry: ZipEntry, what: string): Buffer {
  try {
    // One byte more than promised is allowed, so that a too small promise is seen as such.
    const options = { maxOutputLength: entry.sizeBytes + 1, info: true } as const
    const { buffer, engine } = inflateRawSync(data, options) as unknown as InflateInfo
    if (engine.bytesWritten !== data.length) throw invalid(what, `\`${entry.name}\` has bytes after its end`)
    return buffer
  } catch (error) {
    if (error instanceof BuildError) throw error
    throw invalid(what, `\`${entry.name}\` does not inflate to the size the directory says`, error)
  }
}

/** What zlib gives with `info: true`; `bytesWritten` counts the input that was used. */
interface InflateInfo {
  readonly buffer: Buffer
  readonly engine: { readonly bytesWritten: number }
}

/** The length of a local header with its name and extra field, from its first 30 bytes. */
export function localHeaderBytes(start: Buffer, entry: ZipEntry, what: string): number {
  if (start.length < LOCAL_BYTES || start.readUInt32LE(0) !== 0x04034b50)
    throw invalid(what, `no local header where the directory puts \`${entry.name}\``)
  const length = LOCAL_BYTES + start.readUInt16LE(26) + start.readUInt16LE(28)
  if (entry.offset + length + entry.compressedBytes > entry.endOffset)
    throw invalid(what, `\`${entry.name}\` runs into the member after it`)
  return length
}

/** Proves that a local header says what the directory says. @throws BuildError ARCHIVE_INVALID */
export function checkLocalHeader(header: Buffer, entry: ZipEntry, what: string): void {
  const differs = (field: string): BuildError =>
    invalid(what, `the ${field} of \`${entry.name}\` in its local header is not the directory's`)
  const nameBytes = header.readUInt16LE(26)
  const flags = header.readUInt16LE(6)
  if (flags !== entry.flags) throw differs('flags')
  if (header.readUInt16LE(8) !== (entry.method === 'stored' ? 0 : 8)) throw differs('method')
  const name = header.subarray(LOCAL_BYTES, LOCAL_BYTES + nameBytes)
  if (!name.equals(Buffer.from(entry.name))) throw differs('name')
  const extras = parseExtras(header.subarray(LOCAL_BYTES + nameBytes), entry.name, what)
  // With a data descriptor the writer did not know them yet and left zeros.
  const isOpen = (flags & FLAG_DESCRIPTOR) !== 0
  const fits = (value: number, expected: number): boolean => value === expected || (isOpen && value === 0)
  const crc = header.readUInt32LE(14)
  let compressedBytes = header.readUInt32LE(18)
  let sizeBytes = header.readUInt32LE(22)
  const zip64 = extras.get(0x0001)
  if (zip64 !== undefined) {
    // Python writes the field beside sizes that are no sentinels, so it need not be asked for; but it must be true.
    const isTrue =
      zip64.length === 16 &&
      fits(readBig(zip64, 0, what), entry.sizeBytes) &&
      fits(readBig(zip64, 8, what), entry.compressedBytes)
    if (!isTrue) throw differs('zip64 field')
    if (sizeBytes === 0xffffffff) sizeBytes = entry.sizeBytes
    if (compressedBytes === 0xffffffff) compressedBytes = entry.compressedBytes
  } else if (compressedBytes === 0xffffffff || sizeBytes === 0xffffffff) throw differs('zip64 field')
  if (!fits(crc, entry.crc32)) throw differs('CRC-32')
  if (!fits(compressedBytes, entry.compressedBytes)) throw differs('compressed size')
  if (!fits(sizeBytes, entry.sizeBytes)) throw differs('size')
}

/** Proves the bytes between a member's data and the next member: nothing, or its data descriptor. */
export function checkDescriptor(rest: Buffer, entry: ZipEntry, what: string): void {
  const expectsOne = (entry.flags & FLAG_DESCRIPTOR) !== 0
  if (!expectsOne && rest.length === 0) return
  if (!expectsOne) throw invalid(what, `${rest.length} bytes that belong to no member follow \`${entry.name}\``)
  const isLong = rest.length === 20 || rest.length === 24
  const isSigned = rest.length === 16 || rest.length === 24
  const body = isSigned ? rest.subarray(4) : rest
  const fits =
    (isLong || isSigned || rest.length === 12) &&
    (!isSigned || rest.readUInt32LE(0) === 0x08074b50) &&
    body.readUInt32LE(0) === entry.crc32 &&
    (isLong ? readBig(body, 4, what) : body.readUInt32LE(4)) === entry.compressedBytes &&
    (isLong ? readBig(body, 12, what) : body.readUInt32LE(8)) === entry.sizeBytes
  if (!fits) throw invalid(what, `the data descriptor of \`${entry.name}\` is missing or wrong`)
}

interface End {
  readonly count: number
  readonly directoryOffset: number
  readonly directoryBytes: number
}

async function findEnd(source: RandomAccess, what: string): Promise<End> {
  const { tail, tailOffset, at } = await findTail(source, what)
  if (at < 0 || at + END_BYTES > tail.length)
    throw invalid(what, 'it has no end record', undefined, 'The file may be cut short, or be no zip archive at all.')
  if (at + END_BYTES + tail.readUInt16LE(at + 20) !== tail.length) throw invalid(what, 'bytes follow its end record')
  if (/PK[\x01\x03\x05\x06]/.test(tail.toString('latin1', at + 4)))
    throw invalid(what, 'its comment looks like a zip archive')
  const short = {
    disk: tail.readUInt16LE(at + 4),
    directoryDisk: tail.readUInt16LE(at + 6),
    diskCount: tail.readUInt16LE(at + 8),
    count: tail.readUInt16LE(at + 10),
    directoryBytes: tail.readUInt32LE(at + 12),
    directoryOffset: tail.readUInt32LE(at + 16),
  }
  if (short.disk !== 0 || short.directoryDisk !== 0 || short.diskCount !== short.count)
    throw invalid(what, 'it is part of a set of several disks')
  const locatorAt = at - LOCATOR_BYTES
  const has64 = locatorAt >= 0 && tail.readUInt32LE(locatorAt) === 0x07064b50
  const wants64 = short.count === 0xffff || short.directoryBytes === 0xffffffff || short.directoryOffset === 0xffffffff
  if (wants64 && !has64) throw invalid(what, 'its zip64 end record is missing')
  const { end, endOffset } = has64
    ? read64(tail, locatorAt, tailOffset, short, what)
    : { end: short, endOffset: tailOffset + at }
  if (end.directoryOffset + end.directoryBytes !== endOffset)
    throw invalid(what, 'its directory does not end where its end record starts')
  return end
}

interface Tail {
  readonly tail: Buffer
  readonly tailOffset: number
  /** Where the last end record starts in it; negative when it has none. */
  readonly at: number
}

/** The end of an archive with its last end record. No wheel has a comment, so the most that one may fill is looked at last. */
async function findTail(source: RandomAccess, what: string): Promise<Tail> {
  const near = await readTail(source, END_BYTES + LOCATOR_BYTES + END64_BYTES, what)
  // What may stand before the record must be in view, too.
  if (near.at >= LOCATOR_BYTES + END64_BYTES) return near
  return readTail(source, END_BYTES + 0xffff + LOCATOR_BYTES + END64_BYTES, what)
}

async function readTail(source: RandomAccess, mostBytes: number, what: string): Promise<Tail> {
  const tailBytes = Math.min(source.sizeBytes, mostBytes)
  if (tailBytes < END_BYTES) throw invalid(what, 'it is too short')
  const tailOffset = source.sizeBytes - tailBytes
  const tail = asBuffer(await source.read(tailOffset, tailBytes))
  return { tail, tailOffset, at: tail.lastIndexOf('PK\x05\x06', tail.length, 'latin1') }
}

function read64(
  tail: Buffer,
  locatorAt: number,
  tailOffset: number,
  short: End,
  what: string,
): { end: End; endOffset: number } {
  const lies = (): BuildError => invalid(what, 'its zip64 end record contradicts its end record')
  const at = locatorAt - END64_BYTES
  if (at < 0 || tail.readUInt32LE(at) !== 0x06064b50) throw invalid(what, 'its zip64 end record is missing or extended')
  if (readBig(tail, locatorAt + 8, what) !== tailOffset + at) throw lies()
  if (tail.readUInt32LE(locatorAt + 4) !== 0 || tail.readUInt32LE(locatorAt + 16) > 1) throw lies()
  if (readBig(tail, at + 4, what) !== END64_BYTES - 12) throw invalid(what, 'its zip64 end record is extended')
  if (tail.readUInt32LE(at + 16) !== 0 || tail.readUInt32LE(at + 20) !== 0) throw lies()
  const end = {
    count: readBig(tail, at + 32, what),
    directoryBytes: readBig(tail, at + 40, what),
    directoryOffset: readBig(tail, at + 48, what),
  }
  if (readBig(tail, at + 24, what) !== end.count) throw lies()
  const agrees = (value: number, long: number, sentinel: number): boolean => value === sentinel || value === long
  if (!agrees(short.count, end.count, 0xffff)) throw lies()
  if (!agrees(short.directoryBytes, end.directoryBytes, 0xffffffff)) throw lies()
  if (!agrees(short.directoryOffset, end.directoryOffset, 0xffffffff)) throw lies()
  return { end, endOffset: tailOffset + at }
}

function parseCentral(
  directory: Buffer,
  at: number,
  what: string,
): { entry: Omit<ZipEntry, 'endOffset'>; next: number } {
  if (at + CENTRAL_BYTES > directory.length || directory.readUInt32LE(at) !== 0x02014b50)
    throw invalid(what, 'its end record counts more entries than the directory has')
  const nameBytes = directory.readUInt16LE(at + 28)
  const extraBytes = directory.readUInt16LE(at + 30)
  const next = at + CENTRAL_BYTES + nameBytes + extraBytes + directory.readUInt16LE(at + 32)
  if (next > directory.length) throw invalid(what, 'its directory is cut short')
  const flags = directory.readUInt16LE(at + 8)
  const nameEnd = at + CENTRAL_BYTES + nameBytes
  const name = decodeName(directory.subarray(at + CENTRAL_BYTES, nameEnd), flags, what)
  if ((flags & REFUSED_FLAGS) !== 0) throw invalid(what, `\`${name}\` is encrypted or patched`)
  const extras = parseExtras(directory.subarray(nameEnd, nameEnd + extraBytes), name, what)
  const unicodePath = extras.get(0x7075)
  if (unicodePath !== undefined && unicodePath.toString('utf8', 5) !== name)
    throw invalid(what, `\`${name}\` has a second name in its extra field`)
  const sizes = readSizes(directory, at, extras.get(0x0001), name, what)
  const isDirectory = name.endsWith('/')
  const entry = {
    name,
    isDirectory,
    flags,
    method: readMethod(directory.readUInt16LE(at + 10), name, what),
    crc32: directory.readUInt32LE(at + 16),
    mode: readMode(directory, at, name, what),
    ...sizes,
  }
  checkSizes(entry, what)
  return { entry, next }
}

function readSizes(
  directory: Buffer,
  at: number,
  zip64: Buffer | undefined,
  name: string,
  what: string,
): Pick<ZipEntry, 'compressedBytes' | 'sizeBytes' | 'offset'> {
  let used = 0
  const read = (value: number): number => {
    if (value !== 0xffffffff) return value
    if (zip64 === undefined || used + 8 > zip64.length) throw invalid(what, `\`${name}\` lacks its zip64 field`)
    used += 8
    return readBig(zip64, used - 8, what)
  }
  const sizeBytes = read(directory.readUInt32LE(at + 24))
  const compressedBytes = read(directory.readUInt32LE(at + 20))
  const offset = read(directory.readUInt32LE(at + 42))
  if (zip64 !== undefined && used !== zip64.length)
    throw invalid(what, `\`${name}\` has a zip64 field that nothing asks for`)
  if (directory.readUInt16LE(at + 34) !== 0) throw invalid(what, `\`${name}\` lies on another disk`)
  return { sizeBytes, compressedBytes, offset }
}

const METHODS: Readonly<Record<number, string>> = { 9: 'deflate64', 12: 'bzip2', 14: 'lzma', 93: 'zstd', 95: 'xz' }

function readMethod(method: number, name: string, what: string): ZipEntry['method'] {
  if (method === 0) return 'stored'
  if (method === 8) return 'deflate'
  throw invalid(what, `\`${name}\` is compressed by ${METHODS[method] ?? `method ${method}`}, which wheels may not use`)
}

function readMode(directory: Buffer, at: number, name: string, what: string): number | undefined {
  const host = directory.readUInt8(at + 5)
  const attributes = directory.readUInt16LE(at + 40)
  const kind = attributes & 0o170000
  // A symlink's or device's bits are refused whatever host claims to have written them.
  const isDirectory = name.endsWith('/')
  if (kind !== 0 && kind !== (isDirectory ? 0o040000 : 0o100000))
    throw invalid(
      what,
      `\`${name}\` is a ${KINDS[kind] ?? 'special file'}, not a ${isDirectory ? 'directory' : 'file'}`,
    )
  return host === 3 || host === 19 ? attributes & 0o777 : undefined
}

const KINDS: Readonly<Record<number, string>> = {
  [0o120000]: 'symbolic link',
  [0o040000]: 'directory',
  [0o020000]: 'character device',
  [0o060000]: 'block device',
  [0o010000]: 'named pipe',
  [0o140000]: 'socket',
}

function checkSizes(entry: Omit<ZipEntry, 'endOffset'>, what: string): void {
  const { name, sizeBytes, compressedBytes } = entry
  if (entry.isDirectory && sizeBytes !== 0) throw invalid(what, `the directory \`${name}\` has content`)
  if (entry.method === 'stored' && sizeBytes !== compressedBytes)
    throw invalid(what, `\`${name}\` is stored but has two sizes`)
  if (entry.method === 'deflate' && sizeBytes > compressedBytes * MAX_DEFLATE_RATIO)
    throw invalid(what, `\`${name}\` claims more bytes than deflate can hold`)
  // An empty deflate stream is two bytes, or seven as maturin's writer flushes it; much more would hide something.
  if (sizeBytes === 0 && (compressedBytes > 16 || entry.crc32 !== 0))
    throw invalid(what, `\`${name}\` is empty but has content`)
}

function withExtents(raw: readonly Omit<ZipEntry, 'endOffset'>[], directoryOffset: number, what: string): ZipEntry[] {
  const sorted = raw.toSorted((a, b) => a.offset - b.offset)
  let total = 0
  if ((sorted[0]?.offset ?? directoryOffset) !== 0) throw invalid(what, 'bytes precede its first member')
  return sorted.map((entry, n) => {
    const endOffset = sorted[n + 1]?.offset ?? directoryOffset
    const least = LOCAL_BYTES + Buffer.byteLength(entry.name) + entry.compressedBytes
    if (entry.offset + least > endOffset) throw invalid(what, `\`${entry.name}\` overlaps the member after it`)
    total += entry.sizeBytes
    if (total > MAX_TOTAL_BYTES) throw invalid(what, `it unpacks to more than ${MAX_TOTAL_BYTES} bytes`)
    return { ...entry, endOffset }
  })
}

function parseExtras(extra: Buffer, name: string, what: string): Map<number, Buffer> {
  const fields = new Map<number, Buffer>()
  for (let at = 0; at < extra.length;) {
    const length = at + 4 <= extra.length ? extra.readUInt16LE(at + 2) : Infinity
    if (at + 4 + length > extra.length) throw invalid(what, `the extra field of \`${name}\` is malformed`)
    const id = extra.readUInt16LE(at)
    if (fields.has(id) && (id === 0x0001 || id === 0x7075))
      throw invalid(what, `\`${name}\` has two extra fields of one kind`)
    fields.set(id, extra.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return fields
}

function readBig(bytes: Buffer, at: number, what: string): number {
  const value = bytes.readBigUInt64LE(at)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid(what, 'it has a size beyond all bounds')
  return Number(value)
}

function invalid(what: string, reason: string, cause?: unknown, hint?: string): BuildError {
  return new BuildError('ARCHIVE_INVALID', `${what} is not a sound zip archive: ${reason}`, { cause, hint })
}
