import { lstatSync, readFileSync } from 'node:fs'
import type { Digest } from 'oci-spec-types'
import { digestOf } from './digest.ts'
import { systemErrorCode } from './errors.ts'

/** Digests of files by absolute path; null for what is not there. */
export type FileDigests = Readonly<Record<string, Digest | null>>

/** Digests of small files that something was decided by; a file that is not there is part of it, too. */
export function digestFiles(paths: readonly string[]): FileDigests {
  return Object.fromEntries(paths.map((path) => [path, digestFile(path)]))
}

/** Whether files are as they were. */
export function areUnchanged(files: FileDigests): boolean {
  return Object.entries(files).every(([path, digest]) => digestFile(path) === digest)
}

/** A clock of a file system may lag by a tick. */
const TICK_MS = 20

/** Whether no file was touched since a moment: what is read of one now is what was read of it then. */
export function areUntouchedSince(paths: readonly string[], time: number): boolean {
  return paths.every((path) => {
    const stats = lstatSync(path, { throwIfNoEntry: false })
    return stats === undefined || Math.max(stats.mtimeMs, stats.ctimeMs) < time - TICK_MS
  })
}

function digestFile(path: string): Digest | null {
  try {
    return digestOf(readFileSync(path))
  } catch (error) {
    // As whoever reads it sees it: absent, in a folder that is a file, a folder itself, or somebody else's.
    if (ABSENT.has(systemErrorCode(error) ?? '')) return null
    throw error
  }
}

const ABSENT: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES'])
