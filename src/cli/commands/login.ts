import { BuildError } from '../../core/errors.ts'
import type { Command, Io } from '../command.ts'

/** `layerwright login`: proves a user to a registry and keeps the login where Docker and podman find it. */
export const command: Command = {
  define(program) {
    program
      .argument('[registry]', 'registry host', 'docker.io')
      .option('-u, --username <name>', 'user name; asked for on a terminal')
      .option(
        '-p, --password <password>',
        'password or token; seen by every user of this machine, so prefer --password-stdin, or to be asked',
      )
      .option('--password-stdin', 'read the password from standard input')
      .option('--insecure', 'allow plain HTTP and untrusted certificates')
  },
  async run([registry = 'docker.io'], options, io) {
    const { insecure } = options as { readonly insecure?: boolean }
    const { username, password } = await readLogin(options)
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

type Login = { readonly username: string; readonly password: string }

/** What the options lack is asked for, where somebody can be asked. @throws BuildError USAGE elsewhere */
async function readLogin(options: Readonly<Record<string, unknown>>): Promise<Login> {
  const { username, password } = options as Partial<Login>
  // `--token-stdin` is Cog's name for it.
  const isPiped = options['passwordStdin'] === true || options['tokenStdin'] === true
  if (isPiped && password !== undefined) throw new BuildError('USAGE', 'Give --password-stdin or --password, not both')
  const canAsk = process.stdin.isTTY && process.stderr.isTTY && !isPiped
  const missing = [
    ...(username === undefined ? ['--username'] : []),
    ...(password === undefined && !isPiped ? ['--password-stdin'] : []),
  ]
  if (missing.length > 0 && !canAsk)
    throw new BuildError('USAGE', `Without a terminal to ask on, login needs ${missing.join(' and ')}`, {
      hint: 'Such as: layerwright login ghcr.io -u me --password-stdin < token.txt',
    })
  const { ask } = await import('../ask.ts')
  const terminal = { input: process.stdin, output: process.stderr }
  return {
    username: username ?? (await ask('Username: ', terminal)),
    password: isPiped ? await readPipe() : (password ?? (await ask('Password: ', terminal, true))),
  }
}

async function readPipe(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array))
  const text = Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '')
  if (text === '') throw new BuildError('USAGE', 'Standard input held no password')
  return text
}
