import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { BuildError, systemErrorCode } from '../src/core/errors.ts'
import type { Environment } from '../src/core/http.ts'
import type { Report } from '../src/core/progress.ts'
import type { HelperEntry } from './credential-helper.ts'
import { Helpers } from './helpers.ts'
import type { ConfigPlace } from './hosts.ts'

/** How this program proves itself to a registry. */
export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** Exchanged for tokens at the token server. */
  | { readonly kind: 'identity'; readonly username: string; readonly token: string }
  /** Sent to the registry as it is. */
  | { readonly kind: 'registry-token'; readonly token: string }

/** A credential and where it was found, for `doctor`; the origin holds no secret. */
export interface FoundCredential {
  readonly credential: Credential
  readonly origin: string
}

/** Finds the credential for a repository; undefined means anonymous. */
export type Credentials = (registry: string, repository: string) => Promise<FoundCredential | undefined>

/** What {@link findCredentials} reads. */
export interface CredentialOptions {
  readonly env?: Environment | undefined
  readonly home?: string | undefined
  readonly uid?: number | undefined
  readonly report?: Report | undefined
  readonly helperTimeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** A Docker `config.json` or containers `auth.json`, as far as it matters here. */
interface AuthFile {
  readonly auths: Readonly<Record<string, AuthEntry>>
  readonly credHelpers: Readonly<Record<string, string>>
  readonly credsStore: string | undefined
}

interface AuthEntry {
  readonly auth?: unknown
  readonly username?: unknown
  readonly password?: unknown
  readonly identitytoken?: unknown
  readonly registrytoken?: unknown
}

/**
 * Looks for credentials in the places that Docker, podman and CI systems use.
 *
 * Order, first hit wins: `DOCKER_AUTH_CONFIG` (the document itself), then `REGISTRY_AUTH_FILE` alone if it is set, else
 * `$XDG_RUNTIME_DIR/containers/auth.json`, `/run/containers/UID/auth.json`, `$XDG_CONFIG_HOME/containers/auth.json`,
 * `$DOCKER_CONFIG/config.json` (`~/.docker`), `~/.dockercfg`; then the variables of GitHub Actions (ghcr.io) and GitLab CI
 * (its own registry). Within a file: the helper named for the host, else the entry with the longest matching path, else
 * the general helper.
 *
 * Each file is read once, when it is first needed.
 */
export function findCredentials(options: CredentialOptions = {}): Credentials {
  const { env = process.env } = options
  const answers = new Map<string, Promise<FoundCredential | undefined>>()
  const files = new Map<string, Promise<AuthFile | undefined>>()
  const { report, signal, helperTimeoutMs: timeoutMs } = options
  const helpers = new Helpers({ env, report, signal, timeoutMs })
  const load = (place: Place): Promise<AuthFile | undefined> => {
    let file = files.get(place.origin)
    if (file === undefined) {
      file = loadAuthFile(place)
      files.set(place.origin, file)
    }
    return file
  }
  const find = async (registry: string, repository: string): Promise<FoundCredential | undefined> => {
    for (const place of places(options)) {
      const file = await load(place)
      if (file === undefined) continue
      const credential = await lookUp({ registry, repository }, file, { helpers, origin: place.origin })
      if (credential !== undefined) return { credential, origin: place.origin }
    }
    return fromCi(registry, env)
  }
  return (registry, repository) => {
    const key = `${registry}/${repository}`
    let answer = answers.get(key)
    if (answer === undefined) {
      answer = find(registry, repository)
      answers.set(key, answer)
    }
    return answer
  }
}

/** Where an auth document may lie. */
interface Place {
  readonly origin: string
  readonly path?: string
  readonly text?: string
  /** `~/.dockercfg` is the `auths` object without its name. */
  readonly isLegacy?: boolean
}

/**
 * All places that {@link findCredentials} looks at for a registry, in its order, and which of them counted.
 *
 * @param found what was found
 */
export async function listCredentialPlaces(
  options: CredentialOptions,
  found: FoundCredential | undefined,
): Promise<readonly ConfigPlace[]> {
  const state = async (place: Place): Promise<ConfigPlace['state']> => {
    if (place.origin === found?.origin) return 'used'
    return (await loadAuthFile(place)) === undefined ? 'absent' : 'silent'
  }
  const files = await Promise.all(
    places(options).map(async (place) => ({ where: place.origin, state: await state(place) })),
  )
  const { env = process.env } = options
  const variables = CI_VARIABLES.map((where) => ({
    where,
    state: where === found?.origin ? ('used' as const) : env[where] ? ('silent' as const) : ('absent' as const),
  }))
  return [...files, ...variables]
}

const CI_VARIABLES = ['GITHUB_TOKEN', 'CI_REGISTRY_PASSWORD', 'CI_JOB_TOKEN']

function places(options: CredentialOptions): Place[] {
  const { env = process.env } = options
  const home = options.home ?? env['HOME'] ?? readHome()
  const uid = options.uid ?? process.getuid?.()
  const inline = env['DOCKER_AUTH_CONFIG']
  const named = env['REGISTRY_AUTH_FILE']
  const found: (Place | undefined)[] = [inline ? { origin: 'DOCKER_AUTH_CONFIG', text: inline } : undefined]
  if (named) return [...found.filter((place) => place !== undefined), { origin: named, path: named }]
  const file = (...parts: (string | undefined)[]): Place | undefined => {
    if (parts.some((part) => !part)) return undefined
    const path = join(...parts.filter((part) => part !== undefined))
    return { origin: path, path }
  }
  found.push(
    file(env['XDG_RUNTIME_DIR'], 'containers', 'auth.json'),
    uid === undefined ? undefined : file('/run/containers', String(uid), 'auth.json'),
    env['XDG_CONFIG_HOME']
      ? file(env['XDG_CONFIG_HOME'], 'containers', 'auth.json')
      : file(home, '.config', 'containers', 'auth.json'),
    env['DOCKER_CONFIG'] ? file(env['DOCKER_CONFIG'], 'config.json') : file(home, '.docker', 'config.json'),
  )
  const legacy = file(home, '.dockercfg')
  if (legacy !== undefined) found.push({ ...legacy, isLegacy: true })
  return found.filter((place) => place !== undefined)
}

function readHome(): string | undefined {
  try {
    return homedir()
  } catch {
    // A user id without a passwd entry has no home.
    return undefined
  }
}

/** Parses a file of credentials. @throws BuildError CREDENTIALS_INVALID, without a word of what is in it */
export function parseAuthFile(text: string, origin: string): Readonly<Record<string, unknown>> {
  // As Docker does: `touch` makes such a file.
  if (text.trim() === '') return {}
  try {
    return recordOf(JSON.parse(text))
  } catch {
    // The parser's message quotes the text, which is secret.
    throw new BuildError('CREDENTIALS_INVALID', `Not valid JSON: \`${origin}\``, {
      hint: 'Correct the file; or move it away and log in again with `layerwright login`.',
    })
  }
}

async function loadAuthFile(place: Place): Promise<AuthFile | undefined> {
  let text = place.text
  if (place.path !== undefined) {
    try {
      text = await readFile(place.path, 'utf8')
    } catch (error) {
      const code = systemErrorCode(error)
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      // Somebody else's file (another user's runtime folder) is not ours to read.
      if (code === 'EACCES' || code === 'EPERM') return undefined
      throw new BuildError('FILE_UNREADABLE', `Cannot read the credentials file \`${place.path}\``, { cause: error })
    }
  }
  const root = parseAuthFile(text ?? '', place.origin)
  const auths = place.isLegacy === true ? root : recordOf(root['auths'])
  const credHelpers = Object.entries(recordOf(root['credHelpers'])).filter(
    ([, name]) => typeof name === 'string' && name !== '',
  )
  const credsStore = root['credsStore']
  return {
    auths: Object.fromEntries(Object.entries(auths).map(([key, entry]) => [key, recordOf(entry)])),
    credHelpers: Object.fromEntries(credHelpers) as Record<string, string>,
    credsStore: typeof credsStore === 'string' && credsStore !== '' ? credsStore : undefined,
  }
}

async function lookUp(
  { registry, repository }: { readonly registry: string; readonly repository: string },
  file: AuthFile,
  { helpers, origin }: { readonly helpers: Helpers; readonly origin: string },
): Promise<Credential | undefined> {
  const paths = pathKeys(registry, repository)
  const keys = [...paths, ...hostKeys(registry)]
  for (const key of keys) {
    const helper = file.credHelpers[key]
    if (helper === undefined) continue
    // Docker asks by the name under which it stores, whatever the setting calls the host.
    const servers = paths.includes(key) ? [key] : [...new Set([...storeKeys(registry), key])]
    const found = await helpers.ask(helper, servers, `\`credHelpers\` in ${origin}`)
    if (found !== undefined) return fromHelper(found)
  }
  const entries = new Map(Object.entries(file.auths).map(([key, entry]) => [normalizeKey(key), entry]))
  for (const key of keys) {
    const entry = entries.get(key)
    const found = entry === undefined ? undefined : credentialOf(entry, key)
    if (found !== undefined) return found
  }
  if (file.credsStore === undefined) return undefined
  const found = await helpers.ask(file.credsStore, storeKeys(registry), `\`credsStore\` in ${origin}`)
  return found === undefined ? undefined : fromHelper(found)
}

function fromHelper({ username, secret }: HelperEntry): Credential {
  if (username === '<token>') return { kind: 'identity', username, token: secret }
  return { kind: 'basic', username, password: secret }
}

/** `host/a/b`, `host/a`: a key may name part of a registry. */
function pathKeys(registry: string, repository: string): string[] {
  const parts = repository === '' ? [] : repository.split('/')
  return parts.map((_, index) => `${registry}/${parts.slice(0, parts.length - index).join('/')}`)
}

const DOCKER_HUB_KEYS = ['docker.io', 'index.docker.io', 'registry-1.docker.io']

/** The names of a registry in configuration. */
export function hostKeys(registry: string): readonly string[] {
  return registry === 'docker.io' ? DOCKER_HUB_KEYS : [registry]
}

/** The names under which `docker login` puts a server into a helper. */
function storeKeys(registry: string): string[] {
  return registry === 'docker.io' ? ['https://index.docker.io/v1/', 'docker.io'] : [registry, `https://${registry}`]
}

/** `https://index.docker.io/v1/` -> `index.docker.io`; a key with any other path keeps it. */
function normalizeKey(key: string): string {
  return key
    .replace(/^https?:\/\//, '')
    .replace(/\/v[12]\/?$/, '')
    .replace(/\/+$/, '')
}

function credentialOf(entry: AuthEntry, key: string): Credential | undefined {
  const { registrytoken, identitytoken } = entry
  if (typeof registrytoken === 'string' && registrytoken !== '') return { kind: 'registry-token', token: registrytoken }
  const pair = pairOf(entry, key)
  if (typeof identitytoken === 'string' && identitytoken !== '')
    return { kind: 'identity', username: pair?.username || '<token>', token: identitytoken }
  if (pair === undefined) return undefined
  if (pair.username === '<token>') return { kind: 'identity', username: '<token>', token: pair.password }
  return { kind: 'basic', ...pair }
}

function pairOf(entry: AuthEntry, key: string): { username: string; password: string } | undefined {
  const { auth, username, password } = entry
  if (typeof auth !== 'string' || auth === '') {
    return typeof username === 'string' && typeof password === 'string' ? { username, password } : undefined
  }
  const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '')
  const colon = text.indexOf(':')
  const isBase64 = /^[A-Za-z0-9+/_-]+={0,2}\s*$/.test(auth)
  if (!isBase64 || colon === -1)
    throw new BuildError('CREDENTIALS_INVALID', `The entry for ${key} holds no user and password`, {
      hint: `Its \`auth\` must be the Base64 text of user:password. Log in again: \`layerwright login ${key}\`.`,
    })
  const pair = { username: text.slice(0, colon), password: text.slice(colon + 1) }
  if (/[\r\n\0]/.test(pair.username + pair.password))
    throw new BuildError('CREDENTIALS_INVALID', `The user or password for ${key} holds a line break`, {
      hint: `Log in again: \`layerwright login ${key}\`.`,
    })
  return pair
}

function fromCi(registry: string, env: Environment): FoundCredential | undefined {
  const basic = (username: string, password: string, origin: string): FoundCredential => ({
    credential: { kind: 'basic', username, password },
    origin,
  })
  const github = env['GITHUB_TOKEN']
  if (registry === 'ghcr.io' && github) return basic(env['GITHUB_ACTOR'] || 'token', github, 'GITHUB_TOKEN')
  if (!env['CI_REGISTRY'] || env['CI_REGISTRY'] !== registry) return undefined
  const password = env['CI_REGISTRY_PASSWORD']
  if (env['CI_REGISTRY_USER'] && password) return basic(env['CI_REGISTRY_USER'], password, 'CI_REGISTRY_PASSWORD')
  const job = env['CI_JOB_TOKEN']
  return job ? basic('gitlab-ci-token', job, 'CI_JOB_TOKEN') : undefined
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}
