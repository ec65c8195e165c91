import { isBuildError } from '../../core/errors.ts'
import { normalizeName } from '../../python/package-name.ts'
import { append } from '../append.ts'
import type { Command } from '../command.ts'
import { defineProject, defineSources, projectPath } from '../project-options.ts'

/**
 * `layerwright lock`: writes what the world answers now beside cog.yaml, so that later builds ask nobody.
 *
 * Python packages keep the version that the file has as long as it fits, so that a new requirement changes no others.
 */
export const command: Command = {
  define(program) {
    defineSources(defineProject(program))
      .option('-U, --upgrade', 'choose every Python package anew, whatever the lock file has')
      .option(
        '-P, --upgrade-package <name>',
        'choose this Python package anew and keep the others; repeatable',
        append,
        [],
      )
      .option('--check', 'write nothing; exit status 3 when the lock file does not fit the project')
      .option('--json', 'print what changed as JSON')
  },
  async run([project], options, io) {
    const [
      { openWorld },
      { resolving },
      { obtainLock, readLockFile, writeLockFile },
      { loadConfig },
      { diffLocks, renderLockDiff },
      { recordLayers },
    ] = await Promise.all([
      import('../world.ts'),
      import('../../build/resolving.ts'),
      import('../../build/obtain-lock.ts'),
      import('../../config/load.ts'),
      import('../../lock/diff.ts'),
      import('../../build/locked-layers.ts'),
    ])
    const { context, store } = await openWorld(io, { insecure: options['insecure'] === true })
    const { config, projectFolder } = await loadConfig(projectPath(project, options, io.cwd))
    const question = resolving(projectFolder, { buildsSources: options['build'] !== false }, context)
    if (options['check'] === true) {
      await obtainLock(config, question, { mode: 'locked' })
      return
    }
    const before = await readLockFile(projectFolder).catch((error: unknown) => {
      // Asking anew tells of it, and replaces the file.
      if (!isBuildError(error)) throw error
      return undefined
    })
    const names = options['upgradePackage'] as readonly string[]
    const upgrade = options['upgrade'] === true ? undefined : names
    const { lock: answered } = await obtainLock(config, question, { mode: 'refresh', upgrade })
    for (const name of names) {
      if (answered.platforms.some(({ wheels }) => wheels.some((wheel) => wheel.name === normalizeName(name)))) continue
      io.report({ type: 'note', level: 'warning', text: `\`${name}\` is not among the packages of the project` })
    }
    // What builds have made of the same wheels is still true.
    const known = before?.layers === undefined ? answered : { ...answered, layers: before.layers }
    const lock = await recordLayers({ lock: known, config }, store)
    await writeLockFile(projectFolder, lock)
    const changes = diffLocks(before, lock)
    io.stdout.write(options['json'] === true ? `${JSON.stringify(changes)}\n` : renderLockDiff(changes))
  },
}
