import { BuildError } from '../../core/errors.ts'
import { defineRunOptions, openRunnable, type RunOptions } from '../run-options.ts'
import type { Command } from '../command.ts'

interface ServeOptions extends RunOptions {
  readonly port: string
  readonly host: string
}

/** `layerwright serve`: the model's HTTP server, until it is interrupted. */
export const command: Command = {
  define(program) {
    program
      .argument('[image]', 'image by location or local name; without it the project in this folder is built and taken')
      .option('-p, --port <port>', 'port on this machine', '8393')
      .option('--host <address>', 'address to listen on; 0.0.0.0 for everybody', '127.0.0.1')
    defineRunOptions(program)
  },
  async run([name], options, io) {
    const { port: text, host, ...common } = options as unknown as ServeOptions
    const port = Number(text)
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new BuildError('USAGE', `Not a port: \`${text}\``)
    const { context, ...runnable } = await openRunnable(name, common, io)
    const [{ startModelServer }, { describeMembers, membersOf }] = await Promise.all([
      import('../../run/predict/model-server.ts'),
      import('../../run/predict/members.ts'),
    ])
    const server = await startModelServer(
      {
        ...runnable,
        env: { LAYERWRIGHT_MODEL_VERSION: runnable.image.descriptor.digest, ...runnable.env },
        port,
        listenOn: host,
        log: (chunk) => io.stderr.write(Buffer.from(chunk).toString()),
        signal: io.signal,
      },
      context,
    )
    io.stdout.write(`http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${port}\n`)
    const members = membersOf(runnable.image.config.config)
    if (members !== undefined) io.report({ type: 'note', level: 'info', text: describeMembers(members) })
    const status = await server.container.exit
    // Ctrl-C is how this command ends.
    return io.signal.aborted ? 0 : status
  },
}
