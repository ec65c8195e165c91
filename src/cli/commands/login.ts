import { BuildError } from '../../core/errors.ts'
import type { Command, Io } from '../command.ts'

/** `layerwright login`: proves a user to a registry and keeps the login where Docker and podman find it. */
export const command: Command = {
  define(program) {
    program
      .argument('[registry]', 'registry host', 'docker.io')
      .requiredOption('-u, --username <name>', 'user name')
      .option(
        '-p, --password <password>',
        'password or token; seen by every user of this machine, prefer --password-stdin',
      )
      .option('--password-stdin', 'read the password from standard input')
      .option('--insecure', 'allow plain HTTP and untrusted certificates')
  },
  async run([registry = 'docker.io'], options, io) {
    const { username, insecure } = options as { readonly username: string; readonly insecure?: boolean }
    const password = await readPassword(options)
    const [{ Registries }, { saveLogin }, host] = await Promise.all([
      import('../../../registry/registries.ts'),
      import('../../../registry/login.ts'),
      parseRegistry(registry),
    ])
    const credential = { kind: 'basic', username, password } as const
    const registries = new Registries({
      env: io.env,
      signal: io.signal,
      insecure: insecure === true,
      credentials: async () => ({ credential, origin: 'login' }),
    })
    await registries.client({ registry: host, repository: '' }, { actions: 'pull' }).checkLogin(true)
    const place = await saveLogin(host, { username, password }, { env: io.env, signal: io.signal })
    note(io, `Logged in to ${host}; kept in ${place}`)
  },
}

/** A registry's host as references name it. @throws BuildError USAGE */
export async function parseRegistry(text: string): Promise<string> {
  const { parseReference } = await import('../../../registry/reference.ts')
  const bare = text.replace(/^https?:\/\//, '').replace(/\/(v[12]\/?)?$/, '')
  if (/^(index\.)?docker\.io$|^registry-1\.docker\.io$/.test(bare)) return 'docker.io'
  try {
    // Only what a reference would take for a registry can be one.
    if (parseReference(`${bare}/x`).registry === bare) return bare
  } catch (error) {
    if (!(error instanceof BuildError)) throw error
  }
  throw new BuildError('USAGE', `Not a registry host: \`${text}\``, {
    hint: 'Name a host, such as ghcr.io or localhost:5000.',
  })
}

/** Tells something to people. */
export function note(io: Io, text: string): void {
  io.report({ type: 'note', level: 'info', text })
}

async function readPassword(options: Readonly<Record<string, unknown>>): Promise<string> {
  const { password } = options as { readonly password?: string }
  // `--token-stdin` is Cog's name for it.
  const passwordStdin = options['passwordStdin'] === true || options['tokenStdin'] === true
  if ((password !== undefined) === passwordStdin)
    throw new BuildError('USAGE', 'Give either --password-stdin or --password', {
      hint: 'Such as: layerwright login ghcr.io -u me --password-stdin < token.txt',
    })
  if (password !== undefined) return password
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array))
  const text = Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '')
  if (text === '') throw new BuildError('USAGE', 'Standard input held no password')
  return text
}
