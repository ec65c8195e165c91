import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parse as parseToml } from 'smol-toml'
import { BuildError, systemErrorCode } from '../../core/errors.ts'
import defaults from '../../core/defaults.json' with { type: 'json' }
import type { IndexPlan, PackageIndex } from '../index/client.ts'
import { normalizeName } from '../package-name.ts'
import type { RootRequirement } from '../resolution-input.ts'
import { makeCredentials, splitCredentials, type HeadersFor, type KnownIndex } from './credentials.ts'
import { parseIni } from './ini.ts'

/** What one source (flags, an environment, a file) says about indexes; what is absent is left to the next source. */
export interface IndexSettings {
  readonly indexUrl?: string | undefined
  readonly extraIndexUrls?: readonly string[] | undefined
  readonly findLinks?: readonly string[] | undefined
  readonly noIndex?: boolean | undefined
  readonly strategy?: IndexPlan['strategy'] | undefined
  readonly allowsPreReleases?: boolean | undefined
  readonly excludeNewer?: string | undefined
  /** Hosts, with or without port, whose certificates are not checked. */
  readonly trustedHosts?: readonly string[] | undefined
  /** Requirements files that limit what builds of packages require; paths or addresses. */
  readonly buildConstraints?: readonly string[] | undefined
  /** Whether passwords are asked of the program `keyring`. */
  readonly usesKeyring?: boolean | undefined
  /** Named indexes, asked in this order before `indexUrl`. */
  readonly indexes?: readonly NamedIndex[] | undefined
  /** Package name to the name of the index that alone may serve it. */
  readonly sources?: Readonly<Record<string, string>> | undefined
}

/** An index with a name. */
export interface NamedIndex {
  readonly name?: string | undefined
  readonly url: string
  readonly isDefault?: boolean | undefined
  readonly isExplicit?: boolean | undefined
}

/** What settings come to. */
export interface ResolvedIndexSettings {
  readonly plan: IndexPlan
  readonly headers: HeadersFor
  readonly allowsPreReleases: boolean
  readonly excludeNewer: string | undefined
  /** Hosts, with or without port, whose certificates the user does not want checked. */
  readonly trustedHosts: readonly string[]
  /** Requirements files that limit what builds of packages require; paths or addresses. */
  readonly buildConstraints: readonly string[]
  /** What those files say, once they are read. */
  readonly buildLimits?: readonly RootRequirement[] | undefined
  /** Absolute paths of the files that were looked for. */
  readonly files: readonly string[]
}

/** Where settings are looked for. */
export interface SettingsContext {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string | undefined
  readonly cwd: string
  readonly signal?: AbortSignal | undefined
}

/**
 * Finds out which indexes to ask.
 *
 * For each setting the first source that states it wins: flags, the requirements files (`stated`, in order); then
 * `UV_*` variables; `PIP_*` variables; `uv.toml` or `[tool.uv]` of the project folder or a folder above; the user's and
 * the system's `uv.toml`; pip's configuration files; the built-in address.
 *
 * @throws BuildError USAGE, CONFIG_INVALID for a file or value that cannot be read
 */
export async function loadIndexSettings(
  stated: readonly IndexSettings[],
  context: SettingsContext,
): Promise<ResolvedIndexSettings> {
  const { env } = context
  const looked = new Set<string>()
  const read: ReadText = (path) => {
    looked.add(resolve(path))
    return readIfThere(path)
  }
  const sources = [
    ...stated,
    fromUvVariables(env),
    fromPipVariables(env),
    ...(await uvFiles(context, read)),
    ...(await pipFiles(context, read)),
  ]
  const first = <K extends keyof IndexSettings>(key: K): IndexSettings[K] | undefined =>
    sources.find((source) => source[key] !== undefined)?.[key]
  const named = first('indexes') ?? []
  const known: KnownIndex[] = []
  const add = ({ name, url, isExplicit }: NamedIndex): PackageIndex => {
    const index = splitCredentials(url, name)
    known.push(index)
    return { url: index.url, ...(name === undefined ? {} : { name }), ...(isExplicit === true ? { isExplicit } : {}) }
  }
  const main = first('indexUrl') ?? named.find(({ isDefault }) => isDefault === true)?.url ?? defaults.pythonIndex
  const links = (first('findLinks') ?? []).map((link): PackageIndex => ({
    url: linkUrl(link, context.cwd),
    kind: 'flat',
  }))
  const simple =
    first('noIndex') === true
      ? []
      : [
          ...named.filter(({ isDefault }) => isDefault !== true).map(add),
          ...(first('extraIndexUrls') ?? []).map((url) => add({ url })),
          add({ url: main, name: named.find(({ url }) => url === main)?.name }),
        ]
  const pins = Object.entries(first('sources') ?? {}).map(([name, index]) => {
    const pinned = simple.find((each) => each.name === index)
    if (pinned === undefined)
      throw new BuildError('CONFIG_INVALID', `\`${name}\` is pinned to an index that is not defined: \`${index}\``)
    return [normalizeName(name), pinned.url] as const
  })
  return {
    plan: {
      indexes: [...links, ...simple.filter((index, i) => simple.findIndex(({ url }) => url === index.url) === i)],
      strategy: first('strategy') ?? 'first-index',
      pins: Object.fromEntries(pins),
    },
    headers: makeCredentials(known, { ...context, usesKeyring: first('usesKeyring') }),
    allowsPreReleases: first('allowsPreReleases') ?? false,
    excludeNewer: first('excludeNewer'),
    trustedHosts: first('trustedHosts') ?? [],
    buildConstraints: first('buildConstraints') ?? [],
    files: [...looked],
  }
}

/** Reads a file of settings; undefined when there is none. */
type ReadText = (path: string) => Promise<string | undefined>

type Env = SettingsContext['env']

function fromUvVariables(env: Env): IndexSettings {
  const named = (env['UV_INDEX'] ?? '')
    .split(/\s+/)
    .filter((part) => part !== '')
    .map((part): NamedIndex => {
      const [, name, url] = /^([A-Za-z0-9_.-]+)=(.*)$/.exec(part) ?? []
      return url === undefined ? { url: part } : { name, url }
    })
  const preRelease = valueOf(env, 'UV_PRERELEASE')
  return {
    indexUrl: valueOf(env, 'UV_DEFAULT_INDEX') ?? valueOf(env, 'UV_INDEX_URL'),
    extraIndexUrls: listOf(valueOf(env, 'UV_EXTRA_INDEX_URL')),
    findLinks: valueOf(env, 'UV_FIND_LINKS')?.split(','),
    noIndex: flagOf(valueOf(env, 'UV_NO_INDEX')),
    strategy: parseStrategy(valueOf(env, 'UV_INDEX_STRATEGY')),
    allowsPreReleases: preRelease === undefined ? undefined : preRelease === 'allow',
    excludeNewer: valueOf(env, 'UV_EXCLUDE_NEWER'),
    trustedHosts: listOf(valueOf(env, 'UV_INSECURE_HOST')),
    buildConstraints: listOf(valueOf(env, 'UV_BUILD_CONSTRAINT')),
    usesKeyring: parseKeyring(valueOf(env, 'UV_KEYRING_PROVIDER')),
    indexes: named.length === 0 ? undefined : named,
  }
}

/** pip's module is asked through its program, too: no Python of this machine is loaded. */
function parseKeyring(provider: string | undefined): boolean | undefined {
  return provider === undefined ? undefined : provider !== 'disabled'
}

function fromPipVariables(env: Env): IndexSettings {
  return fromPip((key) => valueOf(env, `PIP_${key.toUpperCase().replaceAll('-', '_')}`))
}

function fromPip(get: (key: string) => string | undefined): IndexSettings {
  return {
    indexUrl: get('index-url'),
    extraIndexUrls: listOf(get('extra-index-url')),
    findLinks: listOf(get('find-links')),
    noIndex: flagOf(get('no-index')),
    allowsPreReleases: flagOf(get('pre')),
    trustedHosts: listOf(get('trusted-host')),
    buildConstraints: listOf(get('build-constraint')),
    usesKeyring: parseKeyring(get('keyring-provider')),
  }
}

async function pipFiles({ env, home }: SettingsContext, read: ReadText): Promise<readonly IndexSettings[]> {
  const named = env['PIP_CONFIG_FILE']
  // pip's own way to say "no configuration at all".
  if (named === '/dev/null') return []
  const config = env['XDG_CONFIG_HOME'] ?? (home === undefined ? undefined : join(home, '.config'))
  const paths = [
    named,
    config === undefined ? undefined : join(config, 'pip/pip.conf'),
    home === undefined ? undefined : join(home, '.pip/pip.conf'),
    '/etc/xdg/pip/pip.conf',
    '/etc/pip.conf',
  ]
  const texts = await Promise.all(
    paths.map(async (path) => (path === undefined || path === '' ? undefined : read(path))),
  )
  return texts.flatMap((text) => {
    if (text === undefined) return []
    const sections = parseIni(text)
    return [fromPip((key) => sections.get('install')?.get(key) ?? sections.get('global')?.get(key))]
  })
}

async function uvFiles({ env, home, cwd }: SettingsContext, read: ReadText): Promise<readonly IndexSettings[]> {
  if (flagOf(valueOf(env, 'UV_NO_CONFIG')) === true) return []
  const named = valueOf(env, 'UV_CONFIG_FILE')
  const config = env['XDG_CONFIG_HOME'] ?? (home === undefined ? undefined : join(home, '.config'))
  const found: IndexSettings[] = []
  const project = named === undefined ? await projectUvFile(cwd, read) : await readUvToml(named, read)
  if (project !== undefined) found.push(project)
  for (const path of [config === undefined ? undefined : join(config, 'uv/uv.toml'), '/etc/uv/uv.toml']) {
    const settings = path === undefined ? undefined : await readUvToml(path, read)
    if (settings !== undefined) found.push(settings)
  }
  return found
}

/** The nearest folder with a `uv.toml`, or a `pyproject.toml` that speaks of uv, decides alone. */
async function projectUvFile(cwd: string, read: ReadText): Promise<IndexSettings | undefined> {
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    const own = await readUvToml(join(folder, 'uv.toml'), read)
    if (own !== undefined) return own
    const path = join(folder, 'pyproject.toml')
    const tool = tableOf(tableOf((await readToml(path, read))?.['tool'])?.['uv'])
    if (tool !== undefined) return toUvSettings(tool, folder)
    if (dirname(folder) === folder) return undefined
  }
}

async function readUvToml(path: string, read: ReadText): Promise<IndexSettings | undefined> {
  const toml = await readToml(path, read)
  return toml === undefined ? undefined : toUvSettings(toml, dirname(path))
}

type Table = Readonly<Record<string, unknown>>

function toUvSettings(toml: Table, folder: string): IndexSettings {
  const pip = tableOf(toml['pip'])
  const get = (key: string): unknown => pip?.[key] ?? toml[key]
  const text = (key: string): string | undefined => (typeof get(key) === 'string' ? String(get(key)) : undefined)
  const texts = (key: string): readonly string[] | undefined => {
    const value = get(key)
    return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : undefined
  }
  const indexes = Array.isArray(toml['index']) ? toml['index'].map(tableOf).filter((table) => table !== undefined) : []
  const preRelease = text('prerelease')
  return {
    indexUrl: text('index-url'),
    extraIndexUrls: texts('extra-index-url'),
    findLinks: texts('find-links')?.map((link) => linkUrl(link, folder)),
    noIndex: get('no-index') === true ? true : undefined,
    strategy: parseStrategy(text('index-strategy')),
    allowsPreReleases: preRelease === undefined ? undefined : preRelease === 'allow',
    excludeNewer: text('exclude-newer'),
    trustedHosts: texts('allow-insecure-host'),
    usesKeyring: parseKeyring(text('keyring-provider')),
    indexes: indexes.length === 0 ? undefined : indexes.map(toNamedIndex),
    sources: toSources(tableOf(toml['sources'])),
  }
}

function toNamedIndex(table: Table): NamedIndex {
  return {
    url: typeof table['url'] === 'string' ? table['url'] : '',
    name: typeof table['name'] === 'string' ? table['name'] : undefined,
    isDefault: table['default'] === true,
    isExplicit: table['explicit'] === true,
  }
}

function toSources(table: Table | undefined): Readonly<Record<string, string>> | undefined {
  if (table === undefined) return undefined
  const pins = Object.entries(table).flatMap(([name, source]) => {
    const first = tableOf(Array.isArray(source) ? source[0] : source)
    return typeof first?.['index'] === 'string' ? [[name, first['index']] as const] : []
  })
  return pins.length === 0 ? undefined : Object.fromEntries(pins)
}

function tableOf(value: unknown): Table | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Table) : undefined
}

async function readToml(path: string, read: ReadText): Promise<Table | undefined> {
  const text = await read(path)
  if (text === undefined) return undefined
  try {
    return parseToml(text)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    throw new BuildError('CONFIG_INVALID', `Not TOML: \`${path}\`: ${reason}`, { cause })
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    // Absent, a folder on the way that is a file, or not ours to read: there is no such configuration.
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EISDIR'].includes(systemErrorCode(error) ?? '')) return undefined
    throw error
  }
}

function linkUrl(link: string, folder: string): string {
  return /^(?:https?|file):/i.test(link) ? link : pathToFileURL(resolve(folder, link)).href
}

function valueOf(env: Env, name: string): string | undefined {
  const value = env[name]
  return value === undefined || value.trim() === '' ? undefined : value.trim()
}

function listOf(text: string | undefined): readonly string[] | undefined {
  const parts = text?.split(/\s+/).filter((part) => part !== '')
  return parts === undefined || parts.length === 0 ? undefined : parts
}

function flagOf(text: string | undefined): boolean | undefined {
  return text === undefined ? undefined : /^(?:1|true|yes|on|y|t)$/i.test(text)
}

/** Parses the name of an index strategy. @throws BuildError USAGE */
function parseStrategy(text: string | undefined): IndexPlan['strategy'] | undefined {
  if (text === undefined || text === 'first-index' || text === 'unsafe-best-match') return text
  // uv's third strategy takes the first index that has a fitting version; the stricter neighbour is safe to use.
  if (text === 'unsafe-first-match') return 'unsafe-best-match'
  throw new BuildError('USAGE', `Unknown index strategy: \`${text}\``, {
    hint: 'Use first-index or unsafe-best-match.',
  })
}
