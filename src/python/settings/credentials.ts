import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { decodePercent } from '../../core/percent.ts'
import { BuildError, systemErrorCode } from '../../core/errors.ts'
import { maskUrl } from '../../core/http.ts'
import { findNetrcLogin, type Login } from './netrc.ts'

/** An index address as the user wrote it, credentials taken out. */
export interface KnownIndex {
  readonly name: string | undefined
  /** Without credentials. */
  readonly url: string
  readonly user: string | undefined
  readonly password: string | undefined
}

/** Where credentials are looked for. */
export interface CredentialContext {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Whether the program `keyring` is asked, as `keyring-provider` says. */
  readonly usesKeyring?: boolean | undefined
}

/** Gives the headers to send with a request. */
export type HeadersFor = (url: string) => Promise<Readonly<Record<string, string>>>

/** Takes user and password out of an address. @throws BuildError USAGE */
export function splitCredentials(address: string, name?: string): KnownIndex {
  let url: URL
  try {
    url = new URL(address)
  } catch (cause) {
    throw new BuildError('USAGE', `Not the address of a package index: \`${maskUrl(address)}\``, { cause })
  }
  const user = url.username === '' ? undefined : decodePercent(url.username)
  const password = url.password === '' ? undefined : decodePercent(url.password)
  url.username = ''
  url.password = ''
  return { name, url: url.href.endsWith('/') ? url.href : `${url.href}/`, user, password }
}

/**
 * Credentials for the requests of a resolution, sent only to the origin of the index they belong to.
 *
 * In this order: the address of the index; `UV_INDEX_<NAME>_USERNAME` and `_PASSWORD` for a named index; a command that
 * prints a short-lived token (`LAYERWRIGHT_INDEX_<NAME>_TOKEN_COMMAND`, or `LAYERWRIGHT_INDEX_TOKEN_COMMAND` for an
 * address that has a user and no password); netrc; the program `keyring` for an address that has a user, if the settings
 * want it. A command runs once, when its index is first asked.
 */
export function makeCredentials(indexes: readonly KnownIndex[], context: CredentialContext): HeadersFor {
  const logins = new Map<string, Promise<Login | undefined>>()
  return async (url) => {
    const { origin, hostname, pathname } = new URL(url)
    const index = nearest(indexes, origin, pathname)
    const key = index?.url ?? origin
    let login = logins.get(key)
    if (login === undefined) {
      login = findLogin(index, hostname, context)
      logins.set(key, login)
    }
    const found = await login
    if (found === undefined) return {}
    const token = Buffer.from(`${found.user}:${found.password}`).toString('base64')
    return { authorization: `Basic ${token}` }
  }
}

/** Several indexes of one host may have different users: the longest common path wins; files lie anywhere. */
function nearest(indexes: readonly KnownIndex[], origin: string, path: string): KnownIndex | undefined {
  const same = indexes.filter(({ url }) => new URL(url).origin === origin)
  const common = ({ url }: KnownIndex): number => {
    const other = new URL(url).pathname
    let length = 0
    while (length < other.length && other[length] === path[length]) length++
    return length
  }
  return same.reduce<KnownIndex | undefined>(
    (best, index) => (best === undefined || common(index) > common(best) ? index : best),
    undefined,
  )
}

async function findLogin(
  index: KnownIndex | undefined,
  host: string,
  context: CredentialContext,
): Promise<Login | undefined> {
  const { env } = context
  if (index?.password !== undefined) return { user: index.user ?? '', password: index.password }
  if (index?.name !== undefined) {
    const prefix = index.name.toUpperCase().replace(/[^A-Z0-9]/g, '_')
    const [user, password] = [env[`UV_INDEX_${prefix}_USERNAME`], env[`UV_INDEX_${prefix}_PASSWORD`]]
    if (user !== undefined || password !== undefined)
      return { user: user ?? index.user ?? '', password: password ?? '' }
    const command = env[`LAYERWRIGHT_INDEX_${prefix}_TOKEN_COMMAND`]
    if (command !== undefined && command !== '') return runTokenCommand(command, index, context)
  }
  const command = env['LAYERWRIGHT_INDEX_TOKEN_COMMAND']
  if (index?.user !== undefined && command !== undefined && command !== '')
    return runTokenCommand(command, index, context)
  const listed = await fromNetrc(host, context)
  if (listed !== undefined || index?.user === undefined) return listed
  const { user, url } = index
  // A user without password is some services' token.
  return { user, password: (context.usesKeyring === true ? await askKeyring(url, user, context) : undefined) ?? '' }
}

/** What `keyring` holds for an address, else for its host, as pip and uv ask it. A program that is missing holds nothing. */
async function askKeyring(url: string, user: string, context: CredentialContext): Promise<string | undefined> {
  for (const service of [url, new URL(url).host]) {
    try {
      const password = await outputOf('keyring', ['get', service, user], context)
      if (password !== '') return password
    } catch (error) {
      if (context.signal?.aborted === true) throw error
    }
  }
  return undefined
}

/** @throws Error that says how the program ended and nothing that it was told or printed */
async function outputOf(program: string, args: readonly string[], { env, signal }: CredentialContext): Promise<string> {
  const options = { env: { ...env }, signal, timeout: 60_000, maxBuffer: 1 << 20 }
  // Node's own error holds the command and what it wrote to standard error.
  const ended = await promisify(execFile)(program, [...args], options).catch(
    ({ code, signal: killedBy }: { readonly code?: number | string | null; readonly signal?: string | null }) =>
      killedBy ? `it was ended by ${killedBy}` : `it ended with status ${code ?? 'unknown'}`,
  )
  signal?.throwIfAborted()
  if (typeof ended === 'string') throw new Error(ended)
  return ended.stdout.trim()
}

/** The token is the password; the user is the address's, else `__token__`. */
async function runTokenCommand(command: string, index: KnownIndex, context: CredentialContext): Promise<Login> {
  try {
    const env = { ...context.env, LAYERWRIGHT_INDEX_URL: index.url }
    const password = await outputOf('sh', ['-c', command], { ...context, env })
    if (password === '') throw new Error('it printed nothing')
    return { user: index.user ?? '__token__', password }
  } catch (cause) {
    context.signal?.throwIfAborted()
    // What the command printed may be half a secret, so it is not shown.
    throw new BuildError(
      'CREDENTIALS_INVALID',
      `The token command of the package index failed: ${maskUrl(index.url)}`,
      {
        hint: 'Run the command of LAYERWRIGHT_INDEX_..._TOKEN_COMMAND by hand: it must print a token and exit with 0.',
        cause,
      },
    )
  }
}

async function fromNetrc(host: string, { env, home }: CredentialContext): Promise<Login | undefined> {
  const path = env['NETRC'] ?? (home === undefined ? undefined : join(home, '.netrc'))
  if (path === undefined) return undefined
  try {
    return findNetrcLogin(await readFile(path, 'utf8'), host)
  } catch (error) {
    // A file that others may not read is as good as none; pip and curl think so too.
    if (systemErrorCode(error) !== undefined) return undefined
    throw error
  }
}
