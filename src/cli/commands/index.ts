import type { CommandEntry } from '../command.ts'

/** Every command, in the order of the help. Adding one is a file and a line. */
export const commands: readonly CommandEntry[] = [
  { name: 'build', group: 'Build', summary: 'build an image from cog.yaml', load: () => import('./build.ts') },
]
