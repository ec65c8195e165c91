import type { Command as Program } from 'commander'
import type { BuildContext, PlannedBuild } from '../../build.ts'
import type { WeightsStatus } from '../../build/weights.ts'
import type { LockOptions } from '../../build/obtain-lock.ts'
import type { LockedWeights } from '../../lock/lock.ts'
import type { Command, CommandEntry, Io } from '../command.ts'
import { formatBytes } from '../progress/format.ts'
import { defineProject, projectPath } from '../project-options.ts'

/** `layerwright weights import`: what the sources have now goes into the lock file and into layers of the store. */
const importCommand: Command = {
  define: (program) =>
    void withOptions(program)
      .option('--dry-run', 'say what would be taken and write nothing')
      .option('-v, --verbose', 'list the files'),
  async run(names, options, io) {
    const { planned, chosen, context } = await plan(names, options, io, 'refresh')
    if (options['dryRun'] !== true) {
      const [{ writeLockFile }, { makeWeights }] = await Promise.all([
        import('../../build/obtain-lock.ts'),
        import('../../build/weights.ts'),
      ])
      await makeWeights(planned, chosen, context)
      await writeLockFile(planned.projectFolder, planned.lock)
    }
    await print(planned, chosen, context, { ...options, verbose: options['dryRun'] === true || options['verbose'] }, io)
  },
}

/** `layerwright weights pull`: fetches what the lock names, so that a build needs no network for it. */
const pull: Command = {
  define: (program) => void withOptions(program).option('-v, --verbose', 'list the files'),
  async run(names, options, io) {
    const { planned, chosen, context } = await plan(names, options, io, 'auto')
    const { makeWeights } = await import('../../build/weights.ts')
    await makeWeights(planned, chosen, context)
    await print(planned, chosen, context, options, io)
  },
}

/** `layerwright weights status`: size, digest, and whether they are here. */
const status: Command = {
  define: (program) =>
    void withOptions(program).option('--json', 'print it as JSON').option('-v, --verbose', 'list the files'),
  async run(names, options, io) {
    const { planned, chosen, context } = await plan(names, options, io, 'auto')
    await print(planned, chosen, context, options, io)
  },
}

const entry = (name: string, summary: string, command: Command): CommandEntry => ({
  name,
  group: 'Build',
  summary,
  load: async () => ({ command }),
})

/** `layerwright weights ...` under Cog's names. */
export const command: Command = {
  define() {},
  async run() {},
  subcommands: [
    entry('import', 'lock what the sources have now, and make its layers', importCommand),
    entry('pull', 'fetch the weights, so that a build finds them here', pull),
    entry('status', 'show the weights, and how much of them is here', status),
  ],
}

type Options = Readonly<Record<string, unknown>>

function withOptions(program: Program): Program {
  return defineProject(program.argument('[name...]', 'entries of `weights`; all unless given'), 'option')
}

async function plan(
  names: readonly string[],
  options: Options,
  io: Io,
  mode: LockOptions['mode'],
): Promise<{ planned: PlannedBuild; chosen: readonly LockedWeights[]; context: BuildContext }> {
  const [{ openWorld }, { planBuild }, { chooseWeights }] = await Promise.all([
    import('../world.ts'),
    import('../../build.ts'),
    import('../../build/weights.ts'),
  ])
  const { context } = await openWorld(io)
  const project = projectPath(options['project'] as string, options, io.cwd)
  const planned = await planBuild({ project, mode, format: 'oci' }, context)
  return { planned, chosen: chooseWeights(planned, names), context }
}

async function print(
  planned: PlannedBuild,
  chosen: readonly LockedWeights[],
  context: BuildContext,
  options: Options,
  io: Io,
): Promise<void> {
  const { statusOf } = await import('../../build/weights.ts')
  const sets = await statusOf(planned, chosen, context)
  if (options['json'] === true) return io.stdout.write(`${JSON.stringify(sets)}\n`)
  if (sets.length === 0) return io.stdout.write('cog.yaml has no `weights`\n')
  io.stdout.write(sets.map((set) => renderSet(set, options['verbose'] === true)).join(''))
}

function renderSet(set: WeightsStatus, isVerbose: boolean): string {
  const { name, target, state, digest, files, sizeBytes, hereBytes, sources } = set
  const size = state === 'partial' ? `${formatBytes(hereBytes)} of ${formatBytes(sizeBytes)}` : formatBytes(sizeBytes)
  const count = files.length === 1 ? '1 file' : `${files.length} files`
  const lines = [`${name}  ${state}  ${count}, ${size}  ${target}`, `  ${digest}`]
  for (const { uri, revision } of sources) lines.push(`  from ${uri}${revision === undefined ? '' : ` at ${revision}`}`)
  if (isVerbose)
    for (const { path, sha256, sizeBytes } of files)
      lines.push(`    ${path}  ${formatBytes(sizeBytes)}  sha256:${sha256.slice(0, 12)}`)
  return `${lines.join('\n')}\n`
}
