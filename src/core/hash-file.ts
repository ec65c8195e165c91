import type { BigIntStats } from 'node:fs'
import { lstat, readFile } from 'node:fs/promises'
import type { Cache } from './cache.ts'
import { Digester } from './digest.ts'
import { BuildError } from './errors.ts'
import { openPath } from './file-access.ts'

/** A regular file by content. */
export interface HashedFile {
  readonly sizeBytes: number
  /** Lower-case hex. */
  readonly sha256: string
  /** 0o755 for what its owner may execute, else 0o644. */
  readonly mode: number
}

/** How files are hashed. */
export interface HashOptions {
  /** Remembers the hashes of large files by place, size, times and inode. */
  readonly hashes?: Cache | undefined
  /** Files of at least this size are remembered. */
  readonly largeBytes?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined
}

/** How long a file must have lain untouched before its hash is remembered: a later write could leave its times as they are. */
export const SETTLED_MS = 3000

/** Files below this are read whole. */
const SMALL_BYTES = 1 << 18

/**
 * Hashes a file, or remembers the hash of a large one that was not touched since.
 *
 * @throws BuildError PROJECT_INVALID when the file changes meanwhile; system errors as they are
 */
export async function hashFile(path: string, options: HashOptions = {}): Promise<HashedFile> {
  const { hashes, largeBytes = 10 * 2 ** 20, signal, now = Date.now } = options
  const stats = await lstat(path, { bigint: true })
  const sizeBytes = Number(stats.size)
  const mode = modeOf(stats)
  const isRemembered = hashes !== undefined && sizeBytes >= largeBytes
  const key = `${path}\0${stampOf(stats)}`
  const known = isRemembered ? (await hashes.get(key))?.toString('latin1') : undefined
  if (known !== undefined && /^[0-9a-f]{64}$/.test(known)) return { sizeBytes, mode, sha256: known }
  const digester = new Digester()
  if (sizeBytes < SMALL_BYTES) digester.update(await readFile(path))
  else for await (const chunk of openPath(path)({ signal })) digester.update(chunk)
  if (digester.sizeBytes !== sizeBytes) throw changedFile(path)
  const sha256 = digester.digest().slice('sha256:'.length)
  if (isRemembered && isSettled(stats, now())) await hashes.set(key, Buffer.from(sha256))
  return { sizeBytes, mode, sha256 }
}

function modeOf({ mode }: BigIntStats): number {
  return (mode & 0o100n) === 0n ? 0o644 : 0o755
}

/** A file that was another one when it was looked at. */
export function changedFile(path: string): BuildError {
  return new BuildError('PROJECT_INVALID', `\`${path}\` changed while it was read`, {
    hint: 'Something writes to this file. Build again when it is done.',
  })
}

/** Whether a file lay untouched for a while. */
function isSettled({ mtimeMs, ctimeMs }: BigIntStats, now: number): boolean {
  return now - Number(mtimeMs > ctimeMs ? mtimeMs : ctimeMs) > SETTLED_MS
}

/** What is another for another content, as far as a file system can tell. */
function stampOf({ size, mtimeNs, ctimeNs, ino, dev }: BigIntStats): string {
  return `${size} ${mtimeNs} ${ctimeNs} ${ino} ${dev}`
}
