import { resolve } from 'node:path'
import type { Command as Program } from 'commander'
import type { PlannedBuild } from '../build.ts'
import type { Io } from './command.ts'
import type { World } from './world.ts'

/** The options of {@link defineProject} and {@link defineAnswers}. */
export interface ProjectOptions {
  readonly project?: string
  readonly file?: string
  readonly refresh?: boolean
  readonly locked?: boolean
  readonly build?: boolean
  readonly insecure?: boolean
}

/** Adds which project is meant; as an option where the command's arguments are something else. */
export function defineProject(program: Program, how: 'argument' | 'option' = 'argument'): Program {
  const words = 'folder of the project, or its cog.yaml'
  if (how === 'option') program.option('-C, --project <folder>', words, '.')
  else program.argument('[project]', words, '.')
  return program.option('-f, --file <name>', 'name of the configuration file instead of cog.yaml')
}

/** Adds how the answers of indexes and registries are had. */
export function defineAnswers(program: Program): Program {
  program
    .option('--refresh', 'ask indexes and registries again, whatever is known')
    .option('--locked', 'use the lock file and ask nobody')
  return defineSources(program)
}

/** Adds what may be asked, and how. */
export function defineSources(program: Program): Program {
  return program
    .option('--no-build', 'take wheels only; a package without one is an error')
    .option('--insecure', 'allow plain HTTP and untrusted certificates')
}

/** The configuration that is meant: a folder, or the file itself. */
export function projectPath(project: string | undefined, { file }: ProjectOptions, cwd: string): string {
  return resolve(cwd, project ?? '.', file ?? '')
}

/** Plans a project as its options say. */
export async function planProject(
  project: string | undefined,
  options: ProjectOptions,
  io: Io,
): Promise<{ readonly planned: PlannedBuild; readonly world: World }> {
  const [{ openWorld }, { planBuild }] = await Promise.all([import('./world.ts'), import('../build.ts')])
  const world = await openWorld(io, { insecure: options.insecure })
  const planned = await planBuild(
    {
      project: projectPath(project, options, io.cwd),
      mode: modeOf(options),
      format: 'oci',
      buildsSources: options.build !== false,
    },
    world.context,
  )
  return { planned, world }
}

/** Whether the world is asked. The lock file is the stronger word: who names it wants nobody asked. */
export function modeOf({ locked, refresh }: Pick<ProjectOptions, 'locked' | 'refresh'>): 'locked' | 'refresh' | 'auto' {
  return locked === true ? 'locked' : refresh === true ? 'refresh' : 'auto'
}
