import type { Command } from '../command.ts'

/** `layerwright build` */
export const command: Command = {
  define(program) {
    program.argument('[project]', 'folder of the project, or its cog.yaml', '.')
  },
  async run() {},
}
