import { BuildError } from '../core/errors.ts'
import { maskUrl, type Environment } from '../core/http.ts'
import { proxyFor } from '../core/net/proxy.ts'
import type { Report } from '../core/progress.ts'
import { findCredentials, listCredentialPlaces, type FoundCredential } from '../../registry/credentials.ts'
import { listHostPlaces, loadHosts } from '../../registry/host-files.ts'
import type { ConfigPlace, HostSettings, MirrorSettings } from '../../registry/hosts.ts'
import { parseReference } from '../../registry/reference.ts'
import { Registries } from '../../registry/registries.ts'
import { failure, ok, skipped, warning, type CheckResult, type Finding } from './check.ts'

/** What {@link examineRegistry} works with. */
export interface RegistryExamination {
  readonly env: Environment
  readonly home?: string | undefined
  /** In place of `/etc`; for tests. */
  readonly systemFolder?: string | undefined
  readonly insecure?: boolean | undefined
  /** Whether to ask the registry nothing. */
  readonly offline?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Looks at how a registry is reached from here: every place that configuration may lie in, in the order in which it
 * counts, what follows from it, and what the registry says to it.
 *
 * @param name a host, or a repository (`ghcr.io/owner/model`) where rules are about parts of a registry
 * @throws BuildError REFERENCE_INVALID
 */
export async function examineRegistry(name: string, options: RegistryExamination): Promise<readonly CheckResult[]> {
  const { env, home, signal } = options
  const place = parseName(name)
  const hosts = loadHosts(options)
  const settings = hosts.settings(place.registry, place.repository)
  const files = listHostPlaces(options, place)
  const notes: string[] = []
  const report: Report = (event) => void (event.type === 'note' && notes.push(event.text))
  const found = await findCredentials({ env, home, signal, report })(place.registry, place.repository)
  const registries = new Registries({ env, home, hosts, signal, insecure: options.insecure, retry: { tries: 1 } })
  return [
    ...files.settings.map((file) => resultOf('settings', file)),
    ...consequences(settings, place.registry, env),
    ...trustVariables(env),
    ...files.certificates.map((file) => resultOf('certificates', file)),
    ...(await listCredentialPlaces({ env, home, signal }, found)).map((file) => resultOf('credentials', file)),
    ...notes.map((text) => result('credentials', 'Helper', warning(text, 'Mend the helper or the file.'))),
    result('credentials', 'Login', ok(describeLogin(found))),
    ...(await ask(registries, place, { settings, found, offline: options.offline === true })),
  ]
}

interface Name {
  readonly registry: string
  readonly repository: string
}

/** `host`, `host:5000` or `host/repository`; without a path no repository is meant. */
function parseName(name: string): Name {
  const bare = name.replace(/^(docker|https?):\/\//, '').replace(/\/+$/, '')
  if (bare.includes('/')) return parseReference(bare)
  const { registry } = parseReference(`${bare}/any`)
  // `docker.io/any` is the one name that is not what it looks like: `ghcr` alone is a repository of Docker Hub.
  if (registry !== bare && bare !== 'index.docker.io')
    throw new BuildError('REFERENCE_INVALID', `Not the host of a registry: \`${name}\``, {
      hint: 'Such as `ghcr.io`, `localhost:5000`, or a repository: `ghcr.io/owner/model`.',
    })
  return { registry, repository: '' }
}

const MESSAGES: Readonly<Record<ConfigPlace['state'], string>> = {
  absent: 'not there',
  silent: 'there, says nothing that counts',
  used: 'used',
}

function resultOf(group: CheckResult['group'], { where, state }: ConfigPlace): CheckResult {
  return result(group, where, state === 'used' ? ok(MESSAGES.used) : skipped(MESSAGES[state]))
}

function result(group: CheckResult['group'], title: string, finding: Finding): CheckResult {
  return { id: `registry-${group}`, group, title, ...finding }
}

/** What the settings come to. */
function consequences(settings: HostSettings, registry: string, env: Environment): readonly CheckResult[] {
  const tell = (title: string, message: string): CheckResult => result('settings', title, ok(message))
  if (settings.blocked)
    return [result('settings', 'Access', failure('blocked', `Remove \`blocked\` in ${settings.origins.join(', ')}.`))]
  const server = settings.location
  const host = server?.host ?? registry
  const proxy = proxyFor(new URL(`https://${host}`), env)
  return [
    tell('Server', server === undefined ? `${registry} itself` : describePlace(server)),
    ...settings.mirrors.map((mirror, index) => tell(`Mirror ${index + 1}`, describePlace(mirror))),
    tell('Certificates', settings.insecure ? 'any is accepted, and plain HTTP' : 'must be trusted'),
    tell('Proxy', proxy === undefined ? 'none' : maskUrl(proxy.url.href)),
  ]
}

function describePlace({ host, scheme, path = '/v2', insecure, resolvesTags }: MirrorSettings): string {
  const notes = [...(insecure ? ['insecure'] : []), ...(resolvesTags ? [] : ['by digest only'])]
  return `${scheme === 'http' ? 'http' : 'https'}://${host}${path}${notes.length === 0 ? '' : ` (${notes.join(', ')})`}`
}

function trustVariables(env: Environment): readonly CheckResult[] {
  return ['SSL_CERT_FILE', 'SSL_CERT_DIR', 'NODE_EXTRA_CA_CERTS'].map((name) =>
    result('certificates', name, env[name] ? ok(env[name]) : skipped('not set')),
  )
}

/** Never the secret, nor the user: some user names are half of one. */
function describeLogin(found: FoundCredential | undefined): string {
  if (found === undefined) return 'none: asked without a name'
  const kinds = { basic: 'a user and password', identity: 'an identity token', 'registry-token': 'a registry token' }
  return `${kinds[found.credential.kind]} from ${found.origin}`
}

interface Known {
  readonly settings: HostSettings
  readonly found: FoundCredential | undefined
  readonly offline: boolean
}

async function ask(registries: Registries, name: Name, known: Known): Promise<readonly CheckResult[]> {
  if (known.offline) return [result('answer', 'Answer', skipped('Offline'))]
  if (known.settings.blocked) return [result('answer', 'Answer', skipped('Not asked: blocked'))]
  const client = registries.client(name, { actions: 'pull' })
  let problem: BuildError | undefined
  try {
    await client.checkLogin()
  } catch (error) {
    if (!(error instanceof BuildError)) throw error
    problem = error
  }
  const { url, challenge } = client.server
  const wanted =
    challenge === undefined
      ? []
      : [result('answer', 'Proof', ok(describeChallenge(challenge.scheme, challenge.parameters['realm'], url)))]
  if (problem === undefined)
    return [
      result('answer', 'Answer', ok(`${url} answers`)),
      ...wanted,
      result('answer', 'Access', ok(known.found === undefined ? 'without a login' : 'the login is accepted')),
    ]
  const remedy = problem.hint ?? 'Check the address, the network and the places above.'
  return [result('answer', 'Answer', failure(problem.message, remedy)), ...wanted]
}

function describeChallenge(scheme: string, realm: string | undefined, url: string): string {
  if (scheme === 'basic') return 'user and password with each request'
  const from = realm !== undefined && URL.canParse(realm, url) ? ` from ${new URL(realm, url).host}` : ''
  return `tokens${from}`
}
