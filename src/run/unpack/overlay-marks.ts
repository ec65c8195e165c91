import { execFileSync } from 'node:child_process'
import { isUtf8 } from 'node:buffer'
import type { Stats } from 'node:fs'
import { DependentLayerError } from './dependent-layer.ts'

/** A layer that deletes more is merged with those below it: these are processes, of which each takes a while. */
const MAX_MARKS = 1000

/**
 * Marks paths as deleted, for an overlay that the folder becomes a part of.
 *
 * Such a mark is a character device 0:0, which every user may make (Linux 5.8 and newer). Node has no call for it.
 *
 * @param paths on the host; nothing is there yet
 * @throws DependentLayerError where that cannot be done
 */
export function markDeleted(paths: readonly Buffer[]): void {
  if (paths.length === 0) return
  if (paths.length > MAX_MARKS || !paths.every((path) => isUtf8(path))) {
    throw new DependentLayerError(
      'The layer cannot stand alone: it deletes too many files, or such as have strange names',
    )
  }
  const script = 'for path; do mknod "$path" c 0 0 || exit; done'
  try {
    execFileSync('/bin/sh', ['-c', script, 'sh', ...paths.map((path) => path.toString())], { stdio: 'ignore' })
  } catch {
    // No mknod, an old kernel, a sandbox: merging the layers needs none of it.
    throw new DependentLayerError('The layer cannot stand alone: this machine does not let it mark what it deletes')
  }
}

/** Whether a file of an unpacked layer is such a mark. */
export function isDeletionMark(stats: Stats): boolean {
  return stats.isCharacterDevice() && stats.rdev === 0
}
