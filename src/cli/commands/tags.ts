import type { Command } from '../command.ts'
import { openRepository } from '../versions.ts'

/** `layerwright tags`: the tags of a repository, one a line. */
export const command: Command = {
  define(program) {
    program
      .argument('<repository>', 'such as ghcr.io/owner/model')
      .option('--insecure', 'allow plain HTTP and untrusted certificates')
      .option('--json', 'print a JSON array')
  },
  async run([name = ''], options, io) {
    const { client } = await openRepository(name, 'pull', options['insecure'] === true, io)
    const tags: string[] = []
    for await (const tag of client.tags()) {
      if (options['json'] === true) tags.push(tag)
      else io.stdout.write(`${tag}\n`)
    }
    if (options['json'] === true) io.stdout.write(`${JSON.stringify(tags)}\n`)
  },
}
