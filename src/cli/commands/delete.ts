import { BuildError } from '../../core/errors.ts'
import type { Command } from '../command.ts'

/** `layerwright delete`: takes names, or whole images, out of registries. */
export const command: Command = {
  define(program) {
    program
      .argument('<image...>', 'NAME:TAG takes the name away; NAME@DIGEST the image, with every name that it has')
      .option('--insecure', 'allow plain HTTP and untrusted certificates')
  },
  async run(names, options, io) {
    const [{ Registries }, { parseReference }] = await Promise.all([
      import('../../../registry/registries.ts'),
      import('../../../registry/reference.ts'),
    ])
    const { env, report, signal } = io
    // All are read before anything is deleted.
    const wanted = names.map((name) => {
      const reference = parseReference(name.replace(/^docker:\/\//, ''))
      const what = reference.digest ?? reference.tag
      if (what !== undefined) return { reference, what }
      throw new BuildError('USAGE', `Say which image of the repository is to be deleted: \`${name}\``, {
        hint: 'Add `:TAG` or `@DIGEST`; `layerwright tags` lists the tags.',
      })
    })
    const registries = new Registries({ env, report, signal, insecure: options['insecure'] === true })
    for (const { reference, what } of wanted) {
      await registries.client(reference, { actions: 'delete' }).deleteManifest(what)
      io.stderr.write(`deleted ${reference.registry}/${reference.repository}${what.includes(':') ? '@' : ':'}${what}\n`)
    }
  },
}
