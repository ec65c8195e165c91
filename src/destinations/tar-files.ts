import { createReadStream } from 'node:fs'
import { posix } from 'node:path'
import { collect, type Open, type OpenOptions, type RandomAccess } from '../core/bytes.ts'
import { BuildError } from '../core/errors.ts'
import { openFile } from '../core/file-access.ts'

/** The files of a tar, by path, for reading in any order. */
export interface TarFiles {
  /** The bytes of a file; links within the archive are followed. Undefined when there is none. */
  find(path: string): TarFile | undefined
  readonly paths: readonly string[]
}

/** One file in a tar. */
export interface TarFile {
  readonly sizeBytes: number
  readonly open: Open
  read(): Promise<Uint8Array>
}

interface Entry {
  readonly offset: number
  readonly sizeBytes: number
  readonly target: string | undefined
}

const BLOCK = 512
const CHUNK_BYTES = 1 << 18
const MAX_ENTRIES = 100_000
const MAX_PAX_BYTES = 1 << 20

/**
 * Finds where each file of a tar lies; reads headers only. No file stays open: each read opens the archive again.
 *
 * @throws BuildError ARCHIVE_INVALID
 */
export async function openTar(path: string): Promise<TarFiles> {
  const file = await openFile(path)
  try {
    return await scanTar(file, path)
  } finally {
    await file.close()
  }
}

async function scanTar(file: RandomAccess, name: string): Promise<TarFiles> {
  const entries = new Map<string, Entry>()
  let pax: Readonly<Record<string, string>> = {}
  let longName: string | undefined
  for (let at = 0; at + BLOCK <= file.sizeBytes;) {
    const header = Buffer.from(await file.read(at, BLOCK))
    if (header.every((byte) => byte === 0)) break
    if (at === 0 && header[0] === 0x1f && header[1] === 0x8b) throw compressed(name)
    if (!hasChecksum(header)) throw invalid(name, 'has a damaged header, or is no tar file')
    const sizeBytes = pax['size'] === undefined ? readNumber(header, 124, 12) : Number(pax['size'])
    const offset = at + BLOCK
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || offset + sizeBytes > file.sizeBytes)
      throw invalid(name, 'ends in the middle of a file')
    at = offset + Math.ceil(sizeBytes / BLOCK) * BLOCK
    const type = String.fromCharCode(header[156] ?? 0)
    if (type === 'x' || type === 'L') {
      if (sizeBytes > MAX_PAX_BYTES) throw invalid(name, 'has a header that is too large')
      const body = Buffer.from(await file.read(offset, sizeBytes)).toString('utf8')
      if (type === 'x') pax = parsePax(body)
      else longName = body.replace(/\0.*$/s, '')
      continue
    }
    const path = posix.normalize(pax['path'] ?? longName ?? readName(header)).replace(/^(\.?\/)+/, '')
    const target = pax['linkpath'] ?? readText(header, 157, 100)
    if (type === '0' || type === '\0' || type === '1' || type === '2') {
      if (entries.size === MAX_ENTRIES) throw invalid(name, `has more than ${MAX_ENTRIES} files`)
      const link = type === '1' ? target : type === '2' ? posix.join(posix.dirname(path), target) : undefined
      entries.set(path, { offset, sizeBytes, target: link === undefined ? undefined : posix.normalize(link) })
    }
    pax = {}
    longName = undefined
  }
  const find = (path: string, depth = 0): TarFile | undefined => {
    const entry = entries.get(posix.normalize(path))
    if (entry === undefined || depth > 8) return undefined
    if (entry.target !== undefined) return find(entry.target, depth + 1)
    const { offset, sizeBytes } = entry
    return {
      sizeBytes,
      open: (options) => readPart(name, offset, sizeBytes, options),
      read: () => collect(readPart(name, offset, sizeBytes), sizeBytes),
    }
  }
  return { find, paths: [...entries.keys()] }
}

async function* readPart(
  path: string,
  offset: number,
  sizeBytes: number,
  { offset: skip = 0, signal }: OpenOptions = {},
): AsyncGenerator<Uint8Array> {
  if (skip >= sizeBytes) return
  const [start, end] = [offset + skip, offset + sizeBytes - 1]
  yield* createReadStream(path, { start, end, highWaterMark: CHUNK_BYTES, signal })
}

function readName(header: Buffer): string {
  const name = readText(header, 0, 100)
  const isUstar = header.toString('latin1', 257, 262) === 'ustar'
  const prefix = isUstar && header.toString('latin1', 257, 265) !== 'ustar  \0' ? readText(header, 345, 155) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

function readText(header: Buffer, at: number, length: number): string {
  const field = header.subarray(at, at + length)
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end === -1 ? length : end)
}

/** Octal, or base 256 for large numbers (GNU). */
function readNumber(header: Buffer, at: number, length: number): number {
  const first = header[at] ?? 0
  if ((first & 0x80) !== 0) {
    let value = first & 0x7f
    for (let i = 1; i < length; i++) value = value * 256 + (header[at + i] ?? 0)
    return value
  }
  const text = readText(header, at, length).trim()
  return text === '' ? 0 : /^[0-7]+$/.test(text) ? parseInt(text, 8) : Number.NaN
}

function hasChecksum(header: Buffer): boolean {
  let sum = 0
  for (const [index, byte] of header.entries()) sum += index >= 148 && index < 156 ? 32 : byte
  return sum === readNumber(header, 148, 8)
}

/** `length key=value\n`, the length counting all of it. */
function parsePax(body: string): Record<string, string> {
  const records: Record<string, string> = {}
  const bytes = Buffer.from(body)
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(32, at)
    const length = Number(bytes.toString('latin1', at, space))
    if (space === -1 || !Number.isInteger(length) || length <= 0) break
    const record = bytes.toString('utf8', space + 1, at + length - 1)
    const equals = record.indexOf('=')
    records[record.slice(0, equals)] = record.slice(equals + 1)
    at += length
  }
  return records
}

function compressed(path: string): BuildError {
  return new BuildError('NOT_SUPPORTED', `The archive is compressed as a whole: \`${path}\``, {
    hint: `Uncompress it first: \`gunzip ${path}\`. Its layers may stay compressed.`,
  })
}

function invalid(name: string, problem: string): BuildError {
  return new BuildError('ARCHIVE_INVALID', `The archive ${problem}: \`${name}\``)
}
