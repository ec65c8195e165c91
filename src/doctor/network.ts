import { readFile } from 'node:fs/promises'
import { X509Certificate } from 'node:crypto'
import { BuildError } from '../core/errors.ts'
import { maskUrl, type HttpResponse } from '../core/http.ts'
import { proxyFor } from '../core/net/proxy.ts'
import { namedAuthorities } from '../core/net/tls.ts'
import { Registries } from '../../registry/registries.ts'
import { findCredentials } from '../../registry/credentials.ts'
import { parseReference, type Reference } from '../../registry/reference.ts'
import { failure, ok, skipped, warning, type Check, type DoctorContext, type Finding } from './check.ts'

const proxy: Check = {
  id: 'proxy',
  group: 'network',
  title: 'Proxy',
  async run({ env, addresses }) {
    const url = new URL(addresses.pythonIndex)
    try {
      const found = proxyFor(url, env)
      return ok(found === undefined ? `${url.host} is asked directly` : `${url.host} is asked through a proxy`)
    } catch (error) {
      return failure(
        error instanceof Error ? error.message : String(error),
        'Set HTTPS_PROXY to an address such as http://host:3128.',
      )
    }
  },
}

const CA_VARIABLES = ['SSL_CERT_FILE', 'SSL_CERT_DIR', 'NODE_EXTRA_CA_CERTS', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE']

const authorities: Check = {
  id: 'certificates',
  group: 'network',
  title: 'Certificate authorities',
  async run({ env }) {
    const set = CA_VARIABLES.filter((name) => (env[name] ?? '') !== '')
    if (set.length === 0) return ok("Node.js's own list")
    for (const name of set.filter((name) => name !== 'SSL_CERT_DIR')) {
      const problem = await certificateProblem(env[name] ?? '')
      if (problem !== undefined)
        return failure(`${name}: ${problem}`, 'Name a file with certificates in PEM form, or unset it.')
    }
    try {
      namedAuthorities(env)
    } catch (error) {
      if (!(error instanceof BuildError)) throw error
      return failure(error.message, 'Name folders with certificates in PEM form, or unset it.')
    }
    return ok(`also ${set.map((name) => `${name}=${env[name]}`).join(', ')}`)
  },
}

async function certificateProblem(file: string): Promise<string | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (text === undefined) return `${file} cannot be read`
  const [first] = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
  if (first === undefined) return `${file} holds no certificate`
  try {
    return new X509Certificate(first).subject === undefined ? 'no subject' : undefined
  } catch {
    // OpenSSL's words are about bytes; which file is what helps.
    return `${file} holds a broken certificate`
  }
}

async function ask(url: string, context: DoctorContext): Promise<HttpResponse | BuildError> {
  try {
    const response = await context.http({
      method: 'GET',
      url,
      ...(context.signal === undefined ? {} : { signal: context.signal }),
    })
    await response.discard()
    return response
  } catch (error) {
    if (error instanceof BuildError) return error
    throw error
  }
}

/**
 * A check that an address answers.
 *
 * @param address  undefined when the project does not need it
 */
export function reachable(
  id: string,
  title: string,
  address: (context: DoctorContext) => string | undefined | Promise<string | undefined>,
  remedy: string,
): Check {
  return {
    id,
    group: 'network',
    title,
    async run(context) {
      const url = await address(context)
      if (url === undefined) return skipped('This project does not need it')
      const answer = await ask(url, context)
      if (answer instanceof BuildError) return failure(answer.message, remedy)
      if (answer.status === 401 || answer.status === 403) {
        return failure(
          `${maskUrl(url)} wants credentials (HTTP ${answer.status})`,
          'Put them into ~/.netrc or the address in `build.python_index`.',
        )
      }
      return answer.status < 400
        ? ok(`${maskUrl(url)} answers`)
        : warning(`${maskUrl(url)} answers HTTP ${answer.status}`, remedy)
    },
  }
}

/** What to do about an address that does not answer. */
export const PROXY_REMEDY = 'Check the network and the proxy variables, or name a mirror.'

const index = reachable(
  'python-index',
  'Python index',
  ({ project, addresses }) => `${withSlash(project?.config.build.pythonIndex.url ?? addresses.pythonIndex)}pip/`,
  `${PROXY_REMEDY} Mirrors are set with \`build.python_index.url\`, or with the variables of pip and uv.`,
)

const archive = reachable(
  'debian-archive',
  'Debian archive',
  ({ project, addresses }) => {
    const build = project?.config.build
    const usesDebian =
      build === undefined ||
      (build.baseImage === undefined &&
        !['cuda', 'python-slim'].includes(build.base) &&
        !(build.base === 'auto' && build.gpu))
    return usesDebian
      ? `${withSlash(build?.debian.mirror ?? addresses.debianArchive)}dists/bookworm/InRelease`
      : undefined
  },
  `${PROXY_REMEDY} A mirror is set with \`build.debian.mirror\`.`,
)

function withSlash(url: string): string {
  return url.endsWith('/') ? url : `${url}/`
}

const MAX_SKEW_SECONDS = 300

const clock: Check = {
  id: 'clock',
  group: 'network',
  title: 'Clock',
  async run(context) {
    const answer = await ask(context.addresses.pythonIndex, context)
    const date = answer instanceof BuildError ? undefined : answer.header('date')
    if (date === undefined) return skipped('No server told the time')
    const skew = Math.round((context.now() - Date.parse(date)) / 1000)
    if (Number.isNaN(skew)) return skipped('No server told the time')
    return Math.abs(skew) <= MAX_SKEW_SECONDS
      ? ok(`within ${Math.abs(skew)} s of the index's`)
      : warning(
          `${Math.abs(skew)} s ${skew > 0 ? 'ahead of' : 'behind'} the index's`,
          'Set the clock; tokens and signed archives expire by it.',
        )
  },
}

/** The registry that the project's image goes to. */
function imageReference({ project }: DoctorContext): Reference | undefined {
  const name = project?.config.image ?? project?.config.model
  if (name === undefined) return undefined
  const reference = parseReference(name)
  // `cog-model` alone names a local image, not one of a registry.
  return name.includes('/') ? reference : undefined
}

const credentials: Check = {
  id: 'registry-credentials',
  group: 'network',
  title: 'Registry credentials',
  async run(context) {
    const reference = imageReference(context)
    if (reference === undefined) return skipped('The project names no registry in `image`')
    const found = await findCredentials({ env: context.env, home: context.env['HOME'] })(
      reference.registry,
      reference.repository,
    )
    return found === undefined
      ? warning(
          `None for ${reference.registry}`,
          `Log in with \`layerwright login ${reference.registry}\`, or set DOCKER_AUTH_CONFIG.`,
        )
      : ok(`${reference.registry}: from ${found.origin}`)
  },
}

const registry: Check = {
  id: 'registry',
  group: 'network',
  title: 'Registry',
  async run(context): Promise<Finding> {
    const reference = imageReference(context)
    if (reference === undefined) return skipped('The project names no registry in `image`')
    const { env, http, signal } = context
    const registries = new Registries({ env, http, signal, home: env['HOME'] })
    const name = `${reference.registry}/${reference.repository}`
    try {
      // Asking for a manifest makes the client fetch a token for pushing, which tells whether it is granted.
      await registries.client(reference, { actions: 'push' }).headManifest('latest')
      return ok(`${name} answers, with the right to push`)
    } catch (error) {
      if (!(error instanceof BuildError)) throw error
      if (error.code === 'IMAGE_NOT_FOUND') return ok(`${name} answers`)
      return failure(
        error.message,
        error.hint ?? `Check that ${reference.registry} can be reached and that you are logged in.`,
      )
    }
  },
}

/** What builds ask of the network. */
export const NETWORK_CHECKS: readonly Check[] = [proxy, authorities, index, archive, clock, credentials, registry]
