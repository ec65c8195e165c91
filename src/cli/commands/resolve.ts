import { resolve } from 'node:path'
import { Option } from 'commander'
import { BuildError } from '../../core/errors.ts'
import { homeFolder } from '../../core/home.ts'
import type { Http } from '../../core/http.ts'
import type { PythonLock } from '../../python/lock.ts'
import type { Target } from '../../python/target.ts'
import type { RootRequirement } from '../../python/resolution-input.ts'
import type { IndexSettings } from '../../python/settings/index-settings.ts'
import { append } from '../append.ts'
import type { Command, Io } from '../command.ts'

interface ResolveOptions {
  readonly requirement: readonly string[]
  readonly constraint: readonly string[]
  readonly override: readonly string[]
  readonly pythonVersion: string
  readonly pythonPlatform: string
  readonly excludeNewer?: string
  readonly indexUrl?: string
  readonly extraIndexUrl: readonly string[]
  readonly findLinks: readonly string[]
  readonly trustedHost: readonly string[]
  readonly index: boolean
  readonly indexStrategy?: string
  readonly pre?: boolean
  readonly offline?: boolean
  readonly refresh?: boolean
  readonly extra: readonly string[]
  readonly group: readonly string[]
  readonly format: 'pylock' | 'requirements' | 'json'
}

/** `layerwright resolve` */
export const command: Command = {
  define(program) {
    program
      .argument('[requirement...]', 'requirements, such as torch==2.8.0 or "uvicorn[standard]>=0.30"')
      .option(
        '-r, --requirement <file>',
        'requirements file, pyproject.toml, uv.lock, pylock.toml or URL; repeatable',
        append,
        [],
      )
      .option(
        '-c, --constraint <file>',
        'file that narrows versions without asking for packages; repeatable',
        append,
        [],
      )
      .option(
        '--override <file>',
        'file whose requirements replace all others on the same packages; repeatable',
        append,
        [],
      )
      .option('--python-version <version>', 'Python of the target', '3.12')
      .option('--python-platform <platform>', 'platform of the target', 'x86_64-manylinux_2_28')
      .option('--exclude-newer <time>', 'ignore files uploaded at this time or later, such as 2026-11-01')
      .option('-i, --index-url <url>', 'package index in place of the configured one')
      .option('--extra-index-url <url>', 'package index asked before it; repeatable', append, [])
      .option('-f, --find-links <place>', 'folder or page with wheels; repeatable', append, [])
      .option('--trusted-host <host>', 'host whose certificate is not checked; repeatable', append, [])
      .option('--no-index', 'ask no package index')
      .addOption(
        new Option('--index-strategy <strategy>', 'how several indexes are used').choices([
          'first-index',
          'unsafe-best-match',
        ]),
      )
      .option('--pre', 'allow pre-releases')
      .option('--no-build', 'take wheels only; this is always so')
      .option('--extra <name>', 'extra of a pyproject.toml; repeatable', append, [])
      .option('--group <name>', 'dependency group of a pyproject.toml; repeatable', append, [])
      .option('--offline', 'answer from the cache only')
      .option('--refresh', 'ask indexes again, whatever the cache holds')
      .addOption(
        new Option('--format <format>', 'form of the result')
          .choices(['pylock', 'requirements', 'json'])
          .default('pylock'),
      )
  },
  async run(args, options, io) {
    const lock = await runResolve(args.flat(), options as unknown as ResolveOptions, io)
    io.stdout.write(await formatLock(lock, (options as unknown as ResolveOptions).format))
  },
}

async function runResolve(texts: readonly string[], options: ResolveOptions, io: Io): Promise<PythonLock> {
  const [
    { makeHttp, tellsOfLimits },
    { Store },
    { storeLocation },
    { loadRequirements, parseRequirements },
    { loadIndexSettings },
    python,
  ] = await Promise.all([
    import('../../core/http.ts'),
    import('../../store/store.ts'),
    import('../../store/location.ts'),
    import('../../python/input/requirements-file.ts'),
    import('../../python/settings/index-settings.ts'),
    import('../../python/resolve-python.ts'),
  ])
  const { TrustedHosts } = await import('../../core/net/trusted-hosts.ts')
  const { parseTargetPlatform } = await import('../../python/target.ts')
  const { assertResolvable } = await import('../../python/input/sources.ts')
  const { env, signal, cwd } = io
  const trusted = new TrustedHosts()
  const http = makeHttp({ env, tls: (host) => trusted.settingsFor(host), onLimited: tellsOfLimits(io.report) })
  const context = { cwd, env, http, signal }
  const target = { pythonVersion: options.pythonVersion, ...parseTargetPlatform(options.pythonPlatform) }
  const lock = await readLock(texts, options, target, { io, http })
  if (lock !== undefined) return lock
  const files = await loadRequirements(
    options.requirement.filter((file) => !isPyproject(file)),
    context,
  )
  const typed = await parseRequirements(texts.join('\n'), 'arguments', context)
  const constraints = await loadRequirements(options.constraint, context)
  const overrides = await loadRequirements(options.override, context)
  assertResolvable([...files.sources, ...typed.sources], target)
  const settings = await loadIndexSettings([flagSettings(options), ...[files, typed].map(fileSettings)], {
    env,
    home: homeFolder(env),
    cwd,
    signal,
  })
  trusted.add(settings.trustedHosts)
  const store = await Store.open(await storeLocation({ env }))
  return python.resolvePython(
    {
      target,
      requirements: [...typed.requirements, ...files.requirements, ...(await projectRequirements(options, cwd))],
      constraints: [...files.constraints, ...constraints.requirements, ...constraints.constraints],
      overrides: overrides.requirements.map(({ requirement }) => requirement),
      indexes: settings.plan,
      ...(settings.excludeNewer === undefined ? {} : { excludeNewer: settings.excludeNewer }),
      allowsPreReleases: settings.allowsPreReleases,
      requiresHashes: files.options.requiresHashes,
      noBinary: files.options.noBinary,
    },
    {
      http,
      cache: store.cache('python'),
      headers: settings.headers,
      isOffline: options.offline === true,
      freshMs: options.refresh === true ? 0 : undefined,
      signal,
      report: io.report,
    },
  )
}

/** A lock is an answer already: it is read for the target, and nothing can be asked besides. */
async function readLock(
  texts: readonly string[],
  options: ResolveOptions,
  target: Target,
  { io, http }: { readonly io: Io; readonly http: Http },
): Promise<PythonLock | undefined> {
  const { isLockFile, loadLockFile, applyLockFile } = await import('../../python/formats/lock-file.ts')
  const [file] = options.requirement.filter(isLockFile)
  if (file === undefined) return undefined
  if (options.requirement.length > 1 || texts.length > 0) {
    throw new BuildError('USAGE', `A lock stands alone, without other requirements: \`${file}\``)
  }
  const { env, cwd, signal } = io
  const { loadIndexSettings } = await import('../../python/settings/index-settings.ts')
  const { headers } = await loadIndexSettings([flagSettings(options)], { env, home: homeFolder(env), cwd, signal })
  const selection = { target, extras: options.extra, groups: options.group }
  return applyLockFile(await loadLockFile(resolve(cwd, file)), selection, { http, headers, signal })
}

async function projectRequirements(options: ResolveOptions, cwd: string): Promise<readonly RootRequirement[]> {
  const files = options.requirement.filter(isPyproject)
  if (files.length === 0) return []
  const [{ readFile }, { parsePyproject }] = await Promise.all([
    import('node:fs/promises'),
    import('../../python/formats/pyproject.ts'),
  ])
  const projects = await Promise.all(
    files.map(async (file) =>
      parsePyproject(await readFile(resolve(cwd, file), 'utf8'), file, {
        extras: options.extra,
        groups: options.group,
      }),
    ),
  )
  return projects.flatMap(({ requirements }, i) =>
    requirements.map((requirement) => ({ requirement, origin: files[i] ?? '' })),
  )
}

function flagSettings(options: ResolveOptions): IndexSettings {
  return {
    indexUrl: options.indexUrl,
    extraIndexUrls: options.extraIndexUrl.length === 0 ? undefined : options.extraIndexUrl,
    findLinks: options.findLinks.length === 0 ? undefined : options.findLinks,
    noIndex: options.index ? undefined : true,
    strategy: options.indexStrategy as IndexSettings['strategy'],
    allowsPreReleases: options.pre,
    excludeNewer: options.excludeNewer,
    trustedHosts: options.trustedHost.length === 0 ? undefined : options.trustedHost,
  }
}

function fileSettings({
  options,
}: Awaited<ReturnType<typeof import('../../python/input/requirements-file.ts').loadRequirements>>): IndexSettings {
  return {
    indexUrl: options.indexUrl,
    extraIndexUrls: options.extraIndexUrls.length === 0 ? undefined : options.extraIndexUrls,
    findLinks: options.findLinks.length === 0 ? undefined : options.findLinks,
    noIndex: options.noIndex ? true : undefined,
    allowsPreReleases: options.allowsPreReleases ? true : undefined,
    trustedHosts: options.trustedHosts.length === 0 ? undefined : options.trustedHosts,
  }
}

async function formatLock(lock: PythonLock, format: ResolveOptions['format']): Promise<string> {
  switch (format) {
    case 'json':
      return `${JSON.stringify(lock, undefined, 2)}\n`
    case 'requirements':
      return (await import('../../python/formats/requirements-text.ts')).formatRequirementsText(lock)
    case 'pylock':
      return (await import('../../python/formats/pylock.ts')).formatPylock(lock)
  }
}

function isPyproject(file: string): boolean {
  return /(?:^|[/\\])pyproject\.toml$/.test(file)
}
