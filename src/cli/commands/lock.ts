import { join, resolve } from 'node:path'
import type { Command } from '../command.ts'

/** `layerwright lock`: writes what the world answers now beside cog.yaml, so that later builds ask nobody. */
export const command: Command = {
  define(program) {
    program
      .argument('[project]', 'folder of the project, or its cog.yaml', '.')
      .option('-f, --file <name>', 'name of the configuration file instead of cog.yaml', '')
      .option('--check', 'write nothing; exit status 3 when the lock file does not fit the project')
      .option('--json', 'print what changed as JSON')
  },
  async run([project = '.'], options, io) {
    const [{ openWorld }, { obtainLock, LOCK_FILE, readLockFile }, { loadConfig }, { diffLocks, renderLockDiff }] =
      await Promise.all([
        import('../world.ts'),
        import('../../build/obtain-lock.ts'),
        import('../../config/load.ts'),
        import('../../lock/diff.ts'),
      ])
    const { context, store } = await openWorld(io)
    const { config, projectFolder } = await loadConfig(resolve(io.cwd, project, String(options['file'])))
    const resolving = { ...context, cache: (space: string) => store.cache(space), projectFolder }
    if (options['check'] === true) {
      await obtainLock(config, resolving, { mode: 'locked' })
      return
    }
    const before = await readLockFile(projectFolder).catch(() => undefined)
    const { lock } = await obtainLock(config, resolving, { mode: 'refresh' })
    const { writeFileAtomically } = await import('../../core/atomic-file.ts')
    await writeFileAtomically(join(projectFolder, LOCK_FILE), `${JSON.stringify(lock, undefined, 2)}\n`)
    const changes = diffLocks(before, lock)
    io.stdout.write(options['json'] === true ? `${JSON.stringify(changes)}\n` : renderLockDiff(changes))
  },
}
