import { BuildError } from '../src/core/errors.ts'
import type { ConfigFile, HostSettings, MirrorSettings } from './hosts.ts'
import { apiHost } from './reference.ts'
import { parseToml } from './toml.ts'

/** What `registries.conf` says, all files of it joined. */
export interface RegistriesConf {
  readonly rules: readonly Rule[]
}

/** One `[[registry]]`. */
interface Rule {
  /** `host`, `host/path` or `*.example.com`. */
  readonly prefix: string
  /** `host[/path]` in place of the prefix. */
  readonly location: string
  readonly insecure: boolean
  readonly blocked: boolean
  readonly mirrors: readonly Mirror[]
  readonly origin: string
}

interface Mirror {
  readonly location: string
  readonly insecure: boolean
  readonly pulls: 'all' | 'digest-only' | 'tag-only'
}

/** Parses a version 2 file. @throws BuildError CONFIG_INVALID @see containers-registries.conf(5) */
export function readRegistriesConf(file: ConfigFile): RegistriesConf {
  let document: Record<string, unknown>
  try {
    document = parseToml(file.text)
  } catch (error) {
    throw invalid(file.path, 'is not valid TOML', error)
  }
  const registries = document['registry']
  if (registries === undefined) return { rules: [] }
  if (!Array.isArray(registries))
    throw invalid(file.path, 'has the old version 1 form: it must hold [[registry]] tables')
  return { rules: registries.map((table) => readRule(recordOf(table), file.path)) }
}

/**
 * What a file says about a repository: the rule with the longest fitting prefix counts.
 *
 * @returns undefined when no rule is about it
 */
export function applyRegistriesConf(
  conf: RegistriesConf,
  registry: string,
  repository: string,
  base: HostSettings,
): HostSettings | undefined {
  const name = `${registry}/${repository}`
  const fitting = conf.rules.filter((rule) => fits(rule.prefix, registry, name))
  const rule = fitting.reduce<Rule | undefined>(
    (best, next) => (best === undefined || next.prefix.length >= best.prefix.length ? next : best),
    undefined,
  )
  if (rule === undefined) return undefined
  const place = (location: string, insecure: boolean): MirrorSettings => {
    const whole = rule.prefix.startsWith('*.')
      ? `${location}/${repository}`
      : `${location}${name.slice(rule.prefix.length)}`
    const slash = whole.indexOf('/')
    const host = whole.slice(0, slash)
    return {
      host: apiHost(host),
      scheme: 'https',
      insecure: insecure || base.insecure,
      repository: () => whole.slice(slash + 1),
      resolvesTags: true,
    }
  }
  return {
    ...base,
    insecure: base.insecure || rule.insecure,
    blocked: rule.blocked,
    location: rule.location === rule.prefix ? undefined : place(rule.location, rule.insecure),
    mirrors: rule.mirrors
      .filter(({ pulls }) => pulls !== 'tag-only')
      .map((mirror) => ({ ...place(mirror.location, mirror.insecure), resolvesTags: mirror.pulls === 'all' })),
    origins: [...base.origins, rule.origin],
  }
}

function fits(prefix: string, registry: string, name: string): boolean {
  if (prefix.startsWith('*.')) return registry.endsWith(prefix.slice(1))
  return name === prefix || name.startsWith(`${prefix}/`)
}

function readRule(table: Readonly<Record<string, unknown>>, path: string): Rule {
  const location = text(table, 'location') ?? ''
  const prefix = text(table, 'prefix') ?? location
  if (prefix === '') throw invalid(path, 'has a [[registry]] without prefix and location')
  const mirrors = table['mirror'] ?? []
  if (!Array.isArray(mirrors)) throw invalid(path, `has a mirror of ${prefix} that is no table`)
  const isDigestOnly = table['mirror-by-digest-only'] === true
  return {
    prefix: trim(prefix),
    location: trim(location === '' ? prefix : location),
    insecure: table['insecure'] === true,
    blocked: table['blocked'] === true,
    mirrors: mirrors.map((mirror) => readMirror(recordOf(mirror), isDigestOnly, path)),
    origin: path,
  }
}

function readMirror(table: Readonly<Record<string, unknown>>, isDigestOnly: boolean, path: string): Mirror {
  const location = text(table, 'location')
  if (location === undefined) throw invalid(path, 'has a mirror without location')
  const pulls = text(table, 'pull-from-mirror') ?? (isDigestOnly ? 'digest-only' : 'all')
  if (pulls !== 'all' && pulls !== 'digest-only' && pulls !== 'tag-only')
    throw invalid(path, `has an unknown pull-from-mirror: \`${pulls}\``)
  return { location: trim(location), insecure: table['insecure'] === true, pulls }
}

function trim(location: string): string {
  return location.replace(/^https?:\/\//, '').replace(/\/+$/, '')
}

function text(table: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const value = table[key]
  return typeof value === 'string' ? value : undefined
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function invalid(path: string, problem: string, cause?: unknown): BuildError {
  return new BuildError('CONFIG_INVALID', `The file ${problem}: \`${path}\``, { cause })
}
