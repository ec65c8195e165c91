import { unwatchFile, watchFile } from 'node:fs'

/** Looked at this often: what editors, Kubernetes and renewals of certificates do to replace a file, other ways of watching miss. */
export const LOOK_MS = 500

/**
 * Calls back when one of the files changes, and on SIGHUP: one call after another, so that what is read last is what was
 * written last.
 *
 * @param paths  absolute
 * @param changed  never rejects
 * @returns ends it
 */
export function watchFiles(paths: readonly string[], changed: () => Promise<void>): () => void {
  let last = Promise.resolve()
  const again = (): void => void (last = last.then(changed))
  for (const path of paths) watchFile(path, { interval: LOOK_MS }, again)
  process.on('SIGHUP', again)
  return () => {
    for (const path of paths) unwatchFile(path, again)
    process.off('SIGHUP', again)
  }
}
