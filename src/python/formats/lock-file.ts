import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { BuildError } from '../../core/errors.ts'
import type { PythonLock } from '../lock.ts'
import { readPylock, type LockSelection } from './pylock.ts'
import { readUvLock } from './uv-lock.ts'

/** Tells by its name whether a file is a lock: `uv.lock`, `pylock.toml` or `pylock.<name>.toml`. @see PEP 751, "File Name" */
export function isLockFile(path: string): boolean {
  return /^(?:uv\.lock|pylock(?:\.[^.]+)?\.toml)$/.test(basename(path))
}

/**
 * Reads another tool's lock for one target; no index is asked.
 *
 * @throws BuildError FILE_UNREADABLE, PROJECT_INVALID, LOCK_STALE, NOT_SUPPORTED
 * @throws ResolveError WHEEL_NOT_FOUND
 */
export async function loadLockFile(path: string, selection: LockSelection): Promise<PythonLock> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw new BuildError('FILE_UNREADABLE', `The lock cannot be read: \`${path}\``, { cause })
  }
  const file = basename(path)
  return file === 'uv.lock' ? readUvLock(text, file, selection) : readPylock(text, file, selection)
}
