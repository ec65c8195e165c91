import { resolve } from 'node:path'
import type { Command } from '../command.ts'
import { renderResults } from '../render-results.ts'

/** `layerwright doctor`: looks at the machine, the network, the GPUs and the project. Status 1 when a check fails. */
export const command: Command = {
  subcommands: [
    {
      name: 'registry',
      group: 'Set up',
      summary: 'show how a registry is reached, and where that was said',
      load: () => import('./doctor-registry.ts'),
    },
  ],
  runsItself: true,
  define(program) {
    program
      .argument('[project]', 'folder of the project, or its cog.yaml', '.')
      .option('--fix', 'put right what can be put right without harm')
      .option('--offline', 'ask nobody outside this machine')
      .option('--json', 'print the results as JSON')
  },
  async run([project = '.'], options, io) {
    const { examine, hasErrors } = await import('../../doctor/doctor.ts')
    const results = await examine({
      folder: resolve(io.cwd, project),
      env: io.env,
      fix: options['fix'] === true,
      offline: options['offline'] === true,
      signal: io.signal,
    })
    io.stdout.write(
      options['json'] === true ? `${JSON.stringify({ checks: results }, undefined, 2)}\n` : renderResults(results),
    )
    return hasErrors(results) ? 1 : 0
  },
}
