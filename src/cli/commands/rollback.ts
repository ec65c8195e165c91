import { BuildError } from '../../core/errors.ts'
import type { Command } from '../command.ts'
import { openRepository, reportMove } from '../versions.ts'

/** `layerwright rollback`: gives a tag back to what it meant before, in the registry. */
export const command: Command = {
  define(program) {
    program
      .argument('<image>', 'REPOSITORY:TAG, a tag that was promoted')
      .option('--to <release>', 'its number, or its digest; the one before the present image unless given')
      .option('--insecure', 'allow plain HTTP and untrusted certificates')
      .option('--json', 'print what was done as JSON')
  },
  async run([name = ''], options, io) {
    const { client, reference } = await openRepository(name, 'push', options['insecure'] === true, io)
    const { tag, digest } = reference
    if (tag === undefined || digest !== undefined)
      throw new BuildError('USAGE', `Name the tag that is to go back, without a digest: \`${name}\``, {
        hint: 'Such as `layerwright rollback ghcr.io/owner/model:stable`.',
      })
    const { rollback } = await import('../../versions/rollback.ts')
    const to = options['to'] as string | undefined
    const move = await rollback(client, tag, to, Math.floor(Date.now() / 1000))
    reportMove(move, reference, options['json'] === true, io)
  },
}
