import type { Stats } from 'node:fs'
import { isDigest, type Digest } from 'oci-spec-types'
import { Digester } from '../src/core/digest.ts'
import { SETTLED_MS } from '../src/core/hash-file.ts'

/** What an entry of a folder is to the image. */
export const KIND = { ignored: 0, file: 1, link: 2, folder: 3, passed: 4 } as const

/** Numbers that tell whether an entry was touched: see {@link writeStamp}. */
export const STAMP_LENGTH = 6

/** Bytes of a hash. */
export const HASH_BYTES = 32

/** A folder of a project as it was when its files were last read. */
export interface KnownFolder {
  /** Relative to the project, empty for itself. */
  readonly path: string
  readonly stamp: Float64Array
  /** All names in it, sorted, ignored ones too. */
  readonly names: readonly string[]
  /** One of {@link KIND} for each name; `passed` is an ignored folder in which something may be brought back. */
  readonly kinds: Uint8Array
  /** {@link STAMP_LENGTH} numbers for each name, of files and links only. */
  readonly stamps: Float64Array
  /** SHA-256, {@link HASH_BYTES} for each name, of files only. */
  readonly hashes: Uint8Array
}

/** What is remembered of a project's folder, as git's index remembers a checkout. */
export interface ProjectIndex {
  readonly folders: ReadonlyMap<string, KnownFolder>
  /** Of all that the project is to an image. */
  readonly content: Digest
}

/** What of a file's state makes its stamp. */
export type StampedStats = Pick<Stats, 'size' | 'mtimeMs' | 'ctimeMs' | 'ino' | 'dev' | 'mode'>

/**
 * Writes what is another for another content, as far as a file system can tell: size, times, inode, device and mode.
 *
 * The time of a file's last change of state cannot be set by hand and is among them: a file of the same size whose time of
 * modification was put back is another one. What was touched within the last seconds gets a stamp that equals none.
 */
export function writeStamp(stamps: Float64Array, at: number, stats: StampedStats, now: number): void {
  const { size, mtimeMs, ctimeMs, ino, dev, mode } = stats
  const hasLain = now - Math.max(mtimeMs, ctimeMs) > SETTLED_MS
  stamps[at] = size
  stamps[at + 1] = mtimeMs
  // Not a number is not equal to itself.
  stamps[at + 2] = hasLain ? ctimeMs : Number.NaN
  stamps[at + 3] = ino
  stamps[at + 4] = dev
  stamps[at + 5] = mode
}

/** Whether two stamps at their places are equal, and of something that lay untouched. */
export function isSameStamp(a: Float64Array, b: Float64Array, atA = 0, atB = 0): boolean {
  for (let n = 0; n < STAMP_LENGTH; n++) if (a[atA + n] !== b[atB + n]) return false
  return true
}

/** Whether a stamp is of something that lay untouched. */
export function isSettled(stamps: Float64Array, at = 0): boolean {
  return !Number.isNaN(stamps[at + 2])
}

const HEAD_BYTES = 256
const DIGEST_BYTES = 32

interface Head {
  readonly folders: number
  readonly entries: number
  readonly content: Digest
}

/** Columns, so that it is read without being parsed: a head, stamps, kinds, hashes, counts, names, and the hash of all that. */
export function formatIndex(folders: readonly KnownFolder[], content: Digest): Buffer {
  const head: Head = {
    folders: folders.length,
    entries: folders.reduce((sum, { names }) => sum + names.length, 0),
    content,
  }
  const parts = [
    Buffer.from(JSON.stringify(head).padEnd(HEAD_BYTES)),
    ...folders.map(({ stamp }) => bytesOf(stamp)),
    ...folders.map(({ stamps }) => bytesOf(stamps)),
    bytesOf(Float64Array.from(folders, ({ names }) => names.length)),
    ...folders.map(({ kinds }) => kinds),
    ...folders.map(({ hashes }) => hashes),
    // A text for each folder: one for all would be held three times, as names, as text and as bytes.
    ...folders.map(({ path, names }, n) => Buffer.from(`${n === 0 ? '' : '\0'}${[path, ...names].join('\0')}`)),
  ]
  return Buffer.concat([...parts, hashOf(...parts)])
}

/** Reads an index; one that is damaged in any way is as good as none. */
export function parseIndex(bytes: Buffer | undefined): ProjectIndex | undefined {
  if (bytes === undefined || bytes.length < HEAD_BYTES + DIGEST_BYTES) return undefined
  const body = bytes.subarray(0, -DIGEST_BYTES)
  if (!hashOf(body).equals(bytes.subarray(-DIGEST_BYTES))) return undefined
  const { folders, entries, content } = JSON.parse(body.toString('utf8', 0, HEAD_BYTES)) as Head
  // What is whole was written by this program; a version of it that wrote something else used another key.
  if (!isDigest(content)) return undefined
  // Numbers of eight bytes must lie at a multiple of that.
  const { buffer, byteOffset } = body.byteOffset % 8 === 0 ? body : Buffer.from(new Uint8Array(body).buffer)
  let at = HEAD_BYTES
  const numbers = (count: number): Float64Array => {
    const found = new Float64Array(buffer, byteOffset + at, count)
    at += found.byteLength
    return found
  }
  const take = (count: number): Uint8Array => {
    const found = new Uint8Array(buffer, byteOffset + at, count)
    at += count
    return found
  }
  const own = numbers(folders * STAMP_LENGTH)
  const stamps = numbers(entries * STAMP_LENGTH)
  const counts = numbers(folders)
  const kinds = take(entries)
  const hashes = take(entries * HASH_BYTES)
  const names = body.toString('utf8', at).split('\0')
  const known = new Map<string, KnownFolder>()
  for (let n = 0, entry = 0; n < folders; n++) {
    const end = entry + (counts[n] ?? 0)
    const path = names[entry + n] ?? ''
    known.set(path, {
      path,
      stamp: own.subarray(n * STAMP_LENGTH, (n + 1) * STAMP_LENGTH),
      names: names.slice(entry + n + 1, end + n + 1),
      kinds: kinds.subarray(entry, end),
      stamps: stamps.subarray(entry * STAMP_LENGTH, end * STAMP_LENGTH),
      hashes: hashes.subarray(entry * HASH_BYTES, end * HASH_BYTES),
    })
    entry = end
  }
  return { folders: known, content }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float64Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

function hashOf(...parts: readonly Uint8Array[]): Buffer {
  const digester = new Digester()
  for (const part of parts) digester.update(part)
  return Buffer.from(digester.digest().slice('sha256:'.length), 'hex')
}
