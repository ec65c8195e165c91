import type { Command } from '../command.ts'
import { note, parseRegistry } from './login.ts'

/** `layerwright logout`: forgets the login of a registry. */
export const command: Command = {
  define(program) {
    program.argument('[registry]', 'registry host', 'docker.io')
  },
  async run([registry = 'docker.io'], _, io) {
    const { eraseLogin } = await import('../../../registry/login.ts')
    const host = await parseRegistry(registry)
    const had = await eraseLogin(host, { env: io.env, signal: io.signal })
    note(io, had ? `Logged out of ${host}` : `There was no login for ${host}`)
  },
}
