import { BuildError } from '../src/core/errors.ts'
import type { ConfigFile, HostSettings, MirrorSettings } from './hosts.ts'
import { parseToml } from './toml.ts'

/** What a `hosts.toml` says about a registry. */
export interface HostsToml {
  readonly settings: HostSettings
  readonly trust: readonly HostTrust[]
}

/** Certificates that a `hosts.toml` names for a host; paths as written, relative to the file's folder. */
export interface HostTrust {
  readonly host: string
  readonly ca: readonly string[]
  /** Certificate and key; a certificate alone holds its key, too. */
  readonly client: readonly (string | undefined)[]
  readonly skipVerify: boolean
}

/** One `[host."URL"]`, or the top of the file for `server`. */
interface Host {
  readonly url: URL
  readonly table: Readonly<Record<string, unknown>>
}

/**
 * Parses containerd's configuration of one registry.
 *
 * The hosts are tried in the order of the file, then `server` (or the registry itself). Only abilities to pull and
 * resolve make a mirror; pushes go to the server.
 *
 * @throws BuildError CONFIG_INVALID
 * @see containerd docs/hosts.md
 */
export function readHostsToml(file: ConfigFile, registry: string, base: HostSettings): HostsToml {
  let document: Record<string, unknown>
  try {
    document = parseToml(file.text)
  } catch (error) {
    throw new BuildError('CONFIG_INVALID', `The file is not valid TOML: \`${file.path}\``, { cause: error })
  }
  const tables = recordOf(document['host'])
  const hosts = Object.entries(tables).map(([url, table]) => ({
    url: parseUrl(url, file.path),
    table: recordOf(table),
  }))
  const server = typeof document['server'] === 'string' ? document['server'] : undefined
  const own: Host | undefined = server === undefined ? undefined : { url: parseUrl(server, file.path), table: document }
  // Containerd sends the name of the registry along, so that one mirror can serve several.
  const query = `ns=${encodeURIComponent(registry)}`
  const settings: HostSettings = {
    ...base,
    origins: [...base.origins, file.path],
    location: own === undefined ? undefined : placeOf(own, base.insecure),
    mirrors: hosts
      .filter(({ table }) => has(table, 'pull') || has(table, 'resolve'))
      .map((host) => ({ ...placeOf(host, base.insecure), query, resolvesTags: has(host.table, 'resolve') })),
  }
  return { settings, trust: [...hosts, ...(own === undefined ? [] : [own])].map(trustOf) }
}

function placeOf({ url, table }: Host, insecure: boolean): MirrorSettings {
  const path = url.pathname.replace(/\/+$/, '')
  // A path takes the place of `/v2` only when told; else it stands before it.
  const isWhole = table['override_path'] === true || path.endsWith('/v2')
  const headers = Object.entries(recordOf(table['header'])).map(([name, value]) => [name, [value].flat().join(', ')])
  return {
    host: url.host,
    scheme: url.protocol === 'http:' ? 'http' : 'https',
    insecure,
    path: path === '' ? undefined : isWhole ? path : `${path}/v2`,
    repository: (repository) => repository,
    resolvesTags: true,
    headers: headers.length === 0 ? undefined : (Object.fromEntries(headers) as Record<string, string>),
  }
}

function trustOf({ url, table }: Host): HostTrust {
  return {
    host: url.host,
    ca: strings(table['ca']),
    client: clientOf(table['client']),
    skipVerify: table['skip_verify'] === true,
  }
}

/** `"both.pem"`, `["cert", "key"]` or `[["cert", "key"]]`. */
function clientOf(value: unknown): readonly (string | undefined)[] {
  const first: unknown = Array.isArray(value) ? value[0] : value
  return Array.isArray(first) ? strings(first) : strings(value)
}

/** Everything is allowed unless the abilities are listed. */
function has(table: Readonly<Record<string, unknown>>, ability: string): boolean {
  const { capabilities } = table
  return !Array.isArray(capabilities) || capabilities.includes(ability)
}

function parseUrl(text: string, path: string): URL {
  const whole = text.includes('://') ? text : `https://${text}`
  if (URL.canParse(whole)) return new URL(whole)
  throw new BuildError('CONFIG_INVALID', `The file names a host that is no URL, \`${text}\`: \`${path}\``)
}

function strings(value: unknown): readonly string[] {
  return [value].flat().filter((entry): entry is string => typeof entry === 'string')
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}
