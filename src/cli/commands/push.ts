import { resolve } from 'node:path'
import { BuildError } from '../../core/errors.ts'
import type { Command } from '../command.ts'
import { runBuild, type BuildOptions } from '../run-build.ts'
import { defineBuildOptions } from './build.ts'

/** `layerwright push`: builds and pushes, as Cog's does. Only what the registry lacks is sent. */
export const command: Command = {
  define(program) {
    program.argument('[image]', 'name to push to; `image` or `model` of cog.yaml unless given')
    defineBuildOptions(program, { isProjectOption: true })
  },
  async run([image], options, io) {
    const given = options as unknown as BuildOptions & { readonly project: string }
    const tag = image === undefined ? given.tag : [image, ...given.tag]
    const names = tag.length > 0 ? tag : await configuredName(given.project, io.cwd)
    await runBuild(given.project, { ...given, tag: names, push: true }, io)
  },
}

async function configuredName(project: string, cwd: string): Promise<readonly string[]> {
  const { loadConfig } = await import('../../config/load.ts')
  const { config, file } = await loadConfig(resolve(cwd, project))
  const name = config.image ?? config.model
  if (name !== undefined) return [name]
  throw new BuildError('USAGE', 'No name to push to is given', {
    hint: `Give one, \`layerwright push registry.example.com/me/model\`, or set \`image\` in ${file}.`,
  })
}
