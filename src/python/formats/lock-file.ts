import { readFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { BuildError } from '../../core/errors.ts'
import { completeFile } from '../direct-wheel.ts'
import { decodeText } from '../input/decode-text.ts'
import type { RemoteAccess } from '../index/remote-wheel.ts'
import type { PythonLock } from '../lock.ts'
import { normalizeName } from '../package-name.ts'
import { readPylock, type LockSelection, type StatedWheel } from './pylock.ts'
import { parseTable, tableAt, tablesAt, textAt } from './toml-table.ts'
import { readUvLock } from './uv-lock.ts'

/** Another tool's lock, read but not yet applied to a target. */
export interface LockFile {
  /** Absolute. */
  readonly path: string
  readonly text: string
}

/** Tells by its name whether a file is a lock: `uv.lock`, `pylock.toml` or `pylock.<name>.toml`. @see PEP 751, "File Name" */
export function isLockFile(path: string): boolean {
  return /^(?:uv\.lock|pylock(?:\.[^.]+)?\.toml)$/.test(basename(path))
}

/** @throws BuildError FILE_UNREADABLE */
export async function loadLockFile(path: string): Promise<LockFile> {
  try {
    return { path, text: decodeText(await readFile(path), basename(path)) }
  } catch (cause) {
    if (cause instanceof BuildError) throw cause
    throw new BuildError('FILE_UNREADABLE', `The lock cannot be read: \`${path}\``, { cause })
  }
}

/**
 * Picks from a lock what one target needs. No index is asked; a server says how large its file is where the lock does not.
 *
 * @throws BuildError PROJECT_INVALID, LOCK_STALE, NOT_SUPPORTED, INDEX_FAILED
 * @throws ResolveError WHEEL_NOT_FOUND
 */
export async function applyLockFile(
  { path, text }: LockFile,
  selection: Omit<LockSelection, 'folder'>,
  access: RemoteAccess,
): Promise<PythonLock> {
  const file = basename(path)
  const read = file === 'uv.lock' ? readUvLock : readPylock
  const { target, packages } = read(text, file, { ...selection, folder: dirname(path) })
  const complete = async (wheel: StatedWheel): Promise<PythonLock['packages'][number]> => {
    const { filename, url, sha256, sizeBytes, index = '' } = wheel
    if (sizeBytes !== undefined) return { ...wheel, sizeBytes }
    return { ...wheel, ...(await completeFile({ filename, url, index, hashes: { sha256 } }, access)) }
  }
  return { target, packages: await Promise.all(packages.map(complete)) }
}

/**
 * Every package of a lock with the version it has on all targets; undefined where that differs between them.
 *
 * For what must be known before there is a target: the frameworks of a project decide about CUDA and Python.
 *
 * @throws BuildError PROJECT_INVALID
 */
export function lockedVersions({ path, text }: LockFile): ReadonlyMap<string, string | undefined> {
  const file = basename(path)
  const toml = parseTable(text, file)
  const versions = new Map<string, string | undefined>()
  for (const entry of tablesAt(toml, file === 'uv.lock' ? 'package' : 'packages')) {
    const source = tableAt(entry, 'source')
    const [name, version] = [textAt(entry, 'name'), textAt(entry, 'version')]
    if (name === undefined || source?.['virtual'] !== undefined || source?.['editable'] !== undefined) continue
    const key = normalizeName(name)
    versions.set(key, versions.has(key) && versions.get(key) !== version ? undefined : version)
  }
  return versions
}
