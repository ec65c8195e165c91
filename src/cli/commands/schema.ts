import { resolve } from 'node:path'
import type { Command } from '../command.ts'

/** `layerwright schema`: the JSON Schema of cog.yaml, or the OpenAPI document of a project. */
export const command: Command = {
  define(program) {
    program
      .argument('[project]', 'folder of the project, or its cog.yaml; only with --openapi', '.')
      .option('--openapi', "print the OpenAPI document of the project's model instead of the schema of cog.yaml")
  },
  async run([project = '.'], options, io) {
    const document =
      options['openapi'] === true ? await modelDocument(resolve(io.cwd, project)) : await configDocument()
    io.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`)
  },
}

async function configDocument(): Promise<unknown> {
  const { cogYamlJsonSchema } = await import('../../config/schema.ts')
  return cogYamlJsonSchema()
}

async function modelDocument(project: string): Promise<unknown> {
  const [{ loadConfig }, { describeModel }] = await Promise.all([
    import('../../config/load.ts'),
    import('../../predictor/describe.ts'),
  ])
  const { config, projectFolder } = await loadConfig(project)
  const { openapi } = await describeModel({
    projectFolder,
    run: config.run,
    train: config.train,
    maxConcurrency: config.concurrency?.max,
  })
  return openapi
}
