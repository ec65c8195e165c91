import { resolve } from 'node:path'
import type { Router } from '../route/router.ts'
import type { Io } from './command.ts'
import { readRoutes } from './route-flags.ts'
import { watchFiles } from './watch-files.ts'

/**
 * Reads the routes again when their file changes, and on SIGHUP. A file with problems is told of and changes nothing.
 *
 * @param name  relative to the working directory
 * @returns ends it
 */
export function watchRoutes(name: string, router: Router, { cwd, report }: Io): () => void {
  return watchFiles([resolve(cwd, name)], async () => {
    try {
      router.replace(await readRoutes(name, cwd))
      report({ type: 'note', level: 'info', text: `Read again: \`${name}\`` })
    } catch (error) {
      router.counts.failedReloads++
      const reason = error instanceof Error ? error.message : String(error)
      report({ type: 'note', level: 'warning', text: `The routes stay as they are: ${reason}` })
    }
  })
}
