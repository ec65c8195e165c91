import { unwatchFile, watchFile } from 'node:fs'
import { resolve } from 'node:path'
import type { Router } from '../route/router.ts'
import type { Io } from './command.ts'
import { readRoutes } from './route-flags.ts'

/** Looked at this often: what editors and Kubernetes do to replace a file, other ways of watching miss. */
const LOOK_MS = 500

/**
 * Reads the routes again when their file changes, and on SIGHUP. A file with problems is told of and changes nothing.
 *
 * @param name  relative to the working directory
 * @returns ends it
 */
export function watchRoutes(name: string, router: Router, io: Io): () => void {
  const note = (level: 'info' | 'warning', text: string): void => io.report({ type: 'note', level, text })
  const path = resolve(io.cwd, name)
  let last = Promise.resolve()
  const read = async (): Promise<void> => {
    try {
      router.replace(await readRoutes(name, io.cwd))
      note('info', `Read again: \`${name}\``)
    } catch (error) {
      router.counts.failedReloads++
      note('warning', `The routes stay as they are: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  // One after another, so that the last one that is read is the last one that was written.
  const again = (): void => void (last = last.then(read))
  watchFile(path, { interval: LOOK_MS }, again)
  process.on('SIGHUP', again)
  return () => {
    unwatchFile(path, again)
    process.off('SIGHUP', again)
  }
}
