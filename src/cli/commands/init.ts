import { resolve } from 'node:path'
import { Option } from 'commander'
import type { Command } from '../command.ts'

/** `layerwright init`: writes the files of a new project; asks nothing, overwrites nothing. */
export const command: Command = {
  define(program) {
    program
      .argument('[folder]', 'folder of the new project', '.')
      .addOption(
        new Option('--template <name>', 'what the project starts from')
          .choices(['hello', 'gpu', 'stream', 'train'])
          .default('hello'),
      )
      .option('--no-workflow', 'write no workflow that builds and pushes')
      .option('--json', 'print the result as JSON')
  },
  async run([folder = '.'], options, io) {
    const { initProject } = await import('../../init/init.ts')
    const template = options['template'] as 'hello' | 'gpu' | 'stream' | 'train'
    const result = await initProject(resolve(io.cwd, folder), { template, workflow: options['workflow'] !== false })
    if (options['json'] === true) return void io.stdout.write(`${JSON.stringify(result)}\n`)
    for (const path of result.kept) io.stderr.write(`${path} is there already and was kept\n`)
    for (const path of result.created) io.stdout.write(`${path}\n`)
  },
}
