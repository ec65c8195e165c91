import type { Command } from '../command.ts'
import { renderResults } from '../render-results.ts'

/** `layerwright doctor registry`: how a registry is reached from here, and where that was said. Status 1 when it is not. */
export const command: Command = {
  define(program) {
    program
      .argument('<host>', 'such as ghcr.io, localhost:5000, or a repository')
      .option('--insecure', 'allow plain HTTP and untrusted certificates')
      .option('--offline', 'ask the registry nothing')
      .option('--json', 'print the results as JSON')
  },
  async run([host = ''], options, io) {
    const { env, signal } = io
    const [{ examineRegistry }, { hasErrors }] = await Promise.all([
      import('../../doctor/registry.ts'),
      import('../../doctor/doctor.ts'),
    ])
    const results = await examineRegistry(host, {
      env,
      signal,
      insecure: options['insecure'] === true,
      offline: options['offline'] === true,
    })
    io.stdout.write(
      options['json'] === true ? `${JSON.stringify({ checks: results }, undefined, 2)}\n` : renderResults(results),
    )
    return hasErrors(results) ? 1 : 0
  },
}
