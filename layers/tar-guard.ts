import { ByteReader } from '../src/core/byte-reader.ts'
import { BuildError } from '../src/core/errors.ts'
import { TAR_BLOCK_BYTES, tarPadding } from './tar-header.ts'

/** Headers that describe other headers are held in memory; no honest one is near this. */
const MAX_EXTENDED_BYTES = 1 << 20
/** Extended headers that readers disagree about when they stand for all entries that follow. */
const GLOBAL_REFUSED = new Set(['path', 'linkpath', 'size', 'uid', 'gid'])

/**
 * Passes a tar on while refusing what makes readers run out of memory or disagree: wrong checksums, sizes that are no
 * numbers, endless extended headers, PAX records that lie about their length, global headers that rename, sparse files.
 *
 * @param what names the archive in errors
 * @throws BuildError ARCHIVE_INVALID
 * @see GHSA-w476-p2h3-79g9, GHSA-3cv2-h65g-fgmm, CVE-2025-58183
 */
export async function* guardTar(stream: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
  const reader = new ByteReader(stream)
  let offset = 0
  /** Size from a PAX header, for the next entry only. */
  let paxSize: number | undefined
  try {
    while (!(await reader.isAtEnd())) {
      const block = await takeBlock(reader, what)
      if (isZero(block)) {
        yield block
        // Two zero blocks end an archive. What follows means nothing, but a compressed file is proven by its last bytes.
        while (!(await reader.isAtEnd())) await reader.skipChunk()
        return
      }
      const header = readHeader(block, offset, what)
      const sizeBytes = paxSize ?? header.sizeBytes
      if (EXTENDED.has(header.type) && sizeBytes > MAX_EXTENDED_BYTES)
        throw invalid(what, `an extended header of ${sizeBytes} bytes`, offset)
      if (header.type === 'S') throw invalid(what, 'a sparse file', offset)
      yield block
      paxSize = undefined
      offset += TAR_BLOCK_BYTES
      if (EXTENDED.has(header.type)) {
        const body = await takeExactly(reader, sizeBytes + tarPadding(sizeBytes), what)
        yield body
        if (header.type === 'x' || header.type === 'g')
          paxSize = readPax(body.subarray(0, sizeBytes), header.type === 'g', offset, what)
      } else {
        yield* passExactly(reader, HAS_CONTENT.has(header.type) ? sizeBytes + tarPadding(sizeBytes) : 0, what)
      }
      offset += sizeBytes + tarPadding(sizeBytes)
    }
  } finally {
    await reader.close()
  }
}

/** PAX for the next entry, PAX for all, GNU long name, GNU long link. */
const EXTENDED = new Set(['x', 'g', 'L', 'K'])
const HAS_CONTENT = new Set(['0', '\0', '7'])

function readHeader(block: Buffer, offset: number, what: string): { type: string; sizeBytes: number } {
  const sum = readNumber(block, 148, 8)
  let unsigned = 8 * 0x20
  for (let at = 0; at < TAR_BLOCK_BYTES; at++) if (at < 148 || at >= 156) unsigned += block[at] ?? 0
  if (sum !== unsigned) throw invalid(what, 'a header with a wrong checksum', offset)
  const sizeBytes = readNumber(block, 124, 12)
  if (sizeBytes === undefined) throw invalid(what, 'a size that is no number', offset)
  const type = String.fromCharCode(block[156] ?? 0)
  if (type === '3' || type === '4') {
    for (const at of [329, 337]) {
      const device = readNumber(block, at, 8)
      if (device === undefined || device > 0xffffffff) throw invalid(what, 'a device number out of range', offset)
    }
  }
  return { type, sizeBytes }
}

/** Octal digits, or GNU's base 256 for large ones; undefined when it is neither, or negative. */
function readNumber(block: Buffer, at: number, length: number): number | undefined {
  const first = block[at] ?? 0
  if (first & 0x80) {
    if (first !== 0x80) return undefined
    let value = 0
    for (const byte of block.subarray(at + 1, at + length)) value = value * 256 + byte
    return Number.isSafeInteger(value) ? value : undefined
  }
  const text = block
    .toString('latin1', at, at + length)
    .replace(/[\0 ].*$/s, (rest) => (/[^\0 ]/.test(rest) ? '?' : ''))
  const digits = text.trimStart()
  return /^[0-7]*$/.test(digits) ? Number.parseInt(digits || '0', 8) : undefined
}

function readPax(body: Buffer, isGlobal: boolean, offset: number, what: string): number | undefined {
  let size: number | undefined
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at)
    const length = space < 0 ? Number.NaN : Number(body.toString('latin1', at, space))
    const end = at + length
    if (!Number.isInteger(length) || end > body.length || end <= space + 1 || body[end - 1] !== 0x0a)
      throw invalid(what, 'a PAX record that lies about its length', offset)
    const record = body.toString('utf8', space + 1, end - 1)
    const equals = record.indexOf('=')
    const key = record.slice(0, equals)
    const value = record.slice(equals + 1)
    if (equals <= 0) throw invalid(what, 'a PAX record without a value', offset)
    if (isGlobal && GLOBAL_REFUSED.has(key)) throw invalid(what, `a global header that sets ${key}`, offset)
    if (key.startsWith('GNU.sparse.')) throw invalid(what, 'a sparse file', offset)
    if (key === 'size') {
      if (!/^[0-9]{1,15}$/.test(value)) throw invalid(what, 'a size that is no number', offset)
      size = Number(value)
    }
    at = end
  }
  return size
}

async function takeBlock(reader: ByteReader, what: string): Promise<Buffer> {
  return takeExactly(reader, TAR_BLOCK_BYTES, what)
}

async function takeExactly(reader: ByteReader, length: number, what: string): Promise<Buffer> {
  try {
    return await reader.take(length)
  } catch (error) {
    throw explainEnd(error, what)
  }
}

async function* passExactly(reader: ByteReader, length: number, what: string): AsyncGenerator<Uint8Array> {
  try {
    yield* reader.pass(length)
  } catch (error) {
    throw explainEnd(error, what)
  }
}

function explainEnd(error: unknown, what: string): unknown {
  return error instanceof RangeError
    ? new BuildError('ARCHIVE_INVALID', `${what} is cut short`, { cause: error })
    : error
}

function isZero(block: Buffer): boolean {
  return block.every((byte) => byte === 0)
}

function invalid(what: string, problem: string, offset: number): BuildError {
  return new BuildError('ARCHIVE_INVALID', `${what} is not a sound tar archive: ${problem} at byte ${offset}`)
}
