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
  /** Remembers the hashes of large files by place, size and time. */
  readonly hashes?: Cache | undefined
  /** Files of at least this size are remembered. */
  readonly largeBytes?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** A hash is remembered only when the file was not touched just now: later writes could leave the time as it is. */
const SETTLED_MS = 3000

/**
 * Hashes a file, or remembers the hash of a large one that was not touched since.
 *
 * @throws BuildError PROJECT_INVALID when the file changes meanwhile; system errors as they are
 */
export async function hashFile(path: string, options: HashOptions = {}): Promise<HashedFile> {
  const { hashes, largeBytes = 10 * 2 ** 20, signal } = options
  const stats = await lstat(path, { bigint: true })
  const sizeBytes = Number(stats.size)
  const mode = (stats.mode & 0o100n) === 0n ? 0o644 : 0o755
  const isRemembered = hashes !== undefined && sizeBytes >= largeBytes
  const key = `${path}\0${sizeBytes}\0${stats.mtimeNs}\0${stats.ctimeNs}\0${stats.ino}`
  const known = isRemembered ? (await hashes.get(key))?.toString('latin1') : undefined
  if (known !== undefined && /^[0-9a-f]{64}$/.test(known)) return { sizeBytes, mode, sha256: known }
  const digester = new Digester()
  if (sizeBytes < 1 << 18) digester.update(await readFile(path))
  else for await (const chunk of openPath(path)({ signal })) digester.update(chunk)
  if (digester.sizeBytes !== sizeBytes) {
    throw new BuildError('PROJECT_INVALID', `\`${path}\` changed its size while it was read`, {
      hint: 'Something writes to this file. Build again when it is done.',
    })
  }
  const sha256 = digester.digest().slice('sha256:'.length)
  if (isRemembered && Date.now() - Number(stats.mtimeMs) > SETTLED_MS) await hashes.set(key, Buffer.from(sha256))
  return { sizeBytes, mode, sha256 }
}
