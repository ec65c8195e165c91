import { isTag } from '../../../registry/reference.ts'
import { BuildError } from '../../core/errors.ts'
import type { Command } from '../command.ts'
import { openRepository, reportMove } from '../versions.ts'

/** `layerwright promote`: gives a tag to a version, in the registry. */
export const command: Command = {
  define(program) {
    program
      .argument('<version>', 'REPOSITORY@DIGEST, or REPOSITORY:TAG for what a tag means now')
      .argument('<tag>', 'the tag that is moved, such as stable')
      .option('--insecure', 'allow plain HTTP and untrusted certificates')
      .option('--json', 'print what was done as JSON')
  },
  async run([version = '', tag = ''], options, io) {
    if (!isTag(tag))
      throw new BuildError('USAGE', `Not a tag: \`${tag}\``, {
        hint: 'The tag is one of the same repository, and given without its name. `layerwright copy` goes from one repository to another.',
      })
    const { client, reference } = await openRepository(version, 'push', options['insecure'] === true, io)
    const what = reference.digest ?? reference.tag
    if (what === undefined)
      throw new BuildError('USAGE', `Say which image of the repository is to be \`${tag}\`: \`${version}\``, {
        hint: 'Add `:TAG` or `@DIGEST`; `layerwright versions` lists them.',
      })
    const { promote } = await import('../../versions/promote.ts')
    const move = await promote(client, what, tag, Math.floor(Date.now() / 1000))
    reportMove(move, reference, options['json'] === true, io)
  },
}
