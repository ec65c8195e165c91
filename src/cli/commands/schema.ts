import { resolve } from 'node:path'
import { BuildError } from '../../core/errors.ts'
import { hintForMember } from '../../run/predict/members.ts'
import type { Command } from '../command.ts'

/** `layerwright schema`: the JSON Schema of cog.yaml, or the OpenAPI document of a project. */
export const command: Command = {
  define(program) {
    program
      .argument('[project]', 'folder of the project, or its cog.yaml; only with --openapi or --model', '.')
      .option('--openapi', "print the OpenAPI document of the project's model instead of the schema of cog.yaml")
      .option('--model <name>', 'print the document of one of several models or pipelines')
  },
  async run([project = '.'], options, io) {
    const { openapi, model } = options as { readonly openapi?: boolean; readonly model?: string }
    const isModels = openapi === true || model !== undefined
    const document = isModels ? await modelDocument(resolve(io.cwd, project), model) : await configDocument()
    io.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`)
  },
}

async function configDocument(): Promise<unknown> {
  const { cogYamlJsonSchema } = await import('../../config/schema.ts')
  return cogYamlJsonSchema()
}

async function modelDocument(project: string, name: string | undefined): Promise<unknown> {
  const [{ loadConfig }, { readDescription }] = await Promise.all([
    import('../../config/load.ts'),
    import('../../pipelines/read-description.ts'),
  ])
  const { members, openapi } = await readDescription(await loadConfig(project))
  if (name === undefined) return openapi
  const known = { ...members?.models, ...members?.pipelines }
  const found = Object.hasOwn(known, name) ? known[name] : undefined
  if (found !== undefined) return found.openapi
  throw new BuildError('USAGE', `The project has no model or pipeline \`${name}\``, {
    hint: hintForMember(name, Object.keys(known)),
  })
}
