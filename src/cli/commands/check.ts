import { Option } from 'commander'
import { CONTRACTS, TARGETS, type Target } from '../../check/contracts.ts'
import { defineRunOptions, openRunnable, type RunOptions } from '../run-options.ts'
import type { Command } from '../command.ts'

interface CheckOptions extends RunOptions {
  readonly target: Target
  readonly json?: boolean
}

/** `layerwright check`: runs an image as a platform would, and names the rules it breaks. */
export const command: Command = {
  define(program) {
    program
      .argument('[image]', 'image by location or local name; without it the project in this folder is built and taken')
      .addOption(new Option('--target <platform>', 'the platform').choices([...TARGETS]).makeOptionMandatory())
      .option('--json', 'print the findings as JSON')
    defineRunOptions(program)
  },
  async run([name], options, io) {
    const { target, json, ...common } = options as unknown as CheckOptions
    const { context, ...runnable } = await openRunnable(name, common, io)
    const { startModelServer } = await import('../../run/predict/model-server.ts')
    const { freePort } = await import('../../run/predict/local-http.ts')
    const { checkPlatform } = await import('../../check/check-platform.ts')
    const { env, args } = CONTRACTS[target]
    const port = await freePort()
    const server = await startModelServer(
      {
        ...runnable,
        port,
        listenOn: 'image',
        ...(args.length === 0 ? {} : { command: args }),
        env: { ...runnable.env, ...env(port) },
        log: (chunk) => io.stderr.write(Buffer.from(chunk).toString()),
        signal: io.signal,
      },
      context,
    )
    try {
      const { image } = runnable
      const facts = {
        config: image.config,
        mediaType: image.descriptor.mediaType,
        architecture: image.config.architecture,
      }
      const findings = await checkPlatform(target, { port, ...server.container }, facts, io.signal)
      if (json === true) io.stdout.write(`${JSON.stringify(findings, undefined, 2)}\n`)
      else {
        for (const { rule, why, problem } of findings) {
          io.stdout.write(problem === undefined ? `ok      ${rule}\n` : `broken  ${rule}: ${problem} (${why})\n`)
        }
      }
      return findings.some(({ problem }) => problem !== undefined) ? 1 : 0
    } finally {
      await server.stop()
    }
  },
}
