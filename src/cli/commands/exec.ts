import { Option } from 'commander'
import { defineRunOptions, openRunnable, type RunOptions } from '../run-options.ts'
import type { Command } from '../command.ts'

interface ExecOptions extends RunOptions {
  readonly image?: string
  readonly workdir?: string
  readonly user?: string
  readonly network: 'host' | 'none'
}

/** `layerwright exec`: any command in the image. */
export const command: Command = {
  define(program) {
    program
      .argument('<command...>', 'the command and its arguments; put -- before it when it has options')
      .option(
        '--image <image>',
        'image by location or local name; without it the project in this folder is built and taken',
      )
      .option('-w, --workdir <path>', 'working directory in the container')
      .option('-u, --user <user>', 'user, or user:group, by name or number')
      .addOption(new Option('--network <mode>', 'what the command can reach').choices(['host', 'none']).default('host'))
      .passThroughOptions()
    defineRunOptions(program)
  },
  async run(words, options, io) {
    const { image: name, workdir, user, network, ...common } = options as unknown as ExecOptions
    const { context, ...runnable } = await openRunnable(name, common, io)
    const { runContainer } = await import('../../run/run-container.ts')
    return runContainer(
      {
        ...runnable,
        entrypoint: words,
        workdir,
        user,
        network,
        stdin: 'inherit',
        terminal: process.stdin.isTTY && io.stdout.isTerminal,
        signal: io.signal,
      },
      context,
    )
  },
}
