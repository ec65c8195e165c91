import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { BuildError, systemErrorCode } from '../src/core/errors.ts'
import type { Environment } from '../src/core/http.ts'
import { makeFolder } from '../src/core/make-folder.ts'
import { writeNamedFile } from '../src/core/named-file.ts'
import { eraseFromHelper, storeInHelper } from './credential-helper.ts'
import { hostKeys, parseAuthFile } from './credentials.ts'

/** Where a login is kept. */
export interface LoginPlace {
  readonly env: Environment
  readonly home?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** What a Docker configuration file holds; members this program does not know are kept. */
interface DockerConfig {
  auths?: Record<string, unknown>
  credHelpers?: Record<string, string>
  credsStore?: string
}

/**
 * Keeps a user and password for a registry where Docker, podman and this program find them: with the helper that the
 * configuration names, else in the file itself, readable by its owner only.
 *
 * @returns where it went, for the message
 * @throws BuildError CREDENTIALS_INVALID, FILE_UNWRITABLE
 */
export async function saveLogin(
  registry: string,
  login: { readonly username: string; readonly password: string },
  place: LoginPlace,
): Promise<string> {
  const path = configPath(place)
  const config = await readConfig(path)
  const server = serverKey(registry)
  const helper = helperOf(config, registry)
  if (helper !== undefined) {
    await storeInHelper(helper, server, { username: login.username, secret: login.password }, place)
    // Docker lists the server with an empty entry, so that `logout` knows it.
    await writeConfig(path, { ...config, auths: { ...config.auths, [server]: {} } })
    return `docker-credential-${helper}`
  }
  const auth = Buffer.from(`${login.username}:${login.password}`).toString('base64')
  await writeConfig(path, { ...config, auths: { ...config.auths, [server]: { auth } } })
  return path
}

/** Forgets a registry's login. @returns whether there was one */
export async function eraseLogin(registry: string, place: LoginPlace): Promise<boolean> {
  const path = configPath(place)
  const config = await readConfig(path)
  const server = serverKey(registry)
  const helper = helperOf(config, registry)
  if (helper !== undefined) await eraseFromHelper(helper, server, place)
  const auths = Object.entries(config.auths ?? {})
  const kept = auths.filter(([key]) => key !== server && key !== registry && key !== `https://${registry}`)
  if (kept.length === auths.length) return helper !== undefined
  await writeConfig(path, { ...config, auths: Object.fromEntries(kept) })
  return true
}

/** The program that keeps a registry's login; an empty name is none, and goes before that for all others. */
function helperOf({ credHelpers, credsStore }: DockerConfig, registry: string): string | undefined {
  const named = hostKeys(registry).map((key) => credHelpers?.[key])
  const name = named.find((entry) => entry !== undefined) ?? credsStore
  return name === '' ? undefined : name
}

/** Docker Hub's entry has had this name since its first version. */
function serverKey(registry: string): string {
  return registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry
}

function configPath({ env, home }: LoginPlace): string {
  if (env['REGISTRY_AUTH_FILE']) return env['REGISTRY_AUTH_FILE']
  if (env['DOCKER_CONFIG']) return join(env['DOCKER_CONFIG'], 'config.json')
  return join(home ?? env['HOME'] ?? homedir(), '.docker', 'config.json')
}

async function readConfig(path: string): Promise<DockerConfig> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return {}
    throw new BuildError('FILE_UNREADABLE', `Cannot read the credentials file \`${path}\``, { cause: error })
  }
  return parseAuthFile(text, path)
}

async function writeConfig(path: string, config: DockerConfig): Promise<void> {
  await makeFolder(dirname(path), 0o700)
  await writeNamedFile(path, `${JSON.stringify(config, undefined, '\t')}\n`, { mode: 0o600 })
}
