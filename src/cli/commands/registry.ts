import type { Command } from '../command.ts'

/** `layerwright registry`: the embedded registry. */
export const command: Command = {
  define() {},
  async run() {},
  subcommands: [
    {
      name: 'serve',
      group: 'Move',
      summary: 'serve an OCI registry from this machine',
      load: () => import('./registry-serve.ts'),
    },
  ],
}
