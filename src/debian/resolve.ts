import { BuildError } from '../core/errors.ts'
import { nearest } from '../core/suggest.ts'
import { runTask, type Report } from '../core/progress.ts'
import { inspectScripts } from './inspect-scripts.ts'
import { BASE_ROOT } from './lock.ts'
import type { DebianArchitecture, DebianLock, LockedDeb, LockedRelease } from './lock.ts'
import type { PackageRecord } from './package-record.ts'
import { readUniverse, type ReadUniverse } from './read-universe.ts'
import type { ArchiveContext, Release } from './release.ts'
import { broughtBy, newName } from './renamed.ts'
import { solve, type Selection } from './solver.ts'
import { debianSources, type ArchiveSource, type DebianMirrors } from './source.ts'
import type { Universe } from './universe.ts'

/** What shall be installed from Debian's (or another) archive. */
export interface DebianRequest {
  /** `bookworm`, `trixie`; names the sources unless they are given. */
  readonly suite: string
  readonly architecture: DebianArchitecture
  /** Names as `apt-get install` takes them: `git`, `git=1:2.39.5-0+deb12u2`, `git:amd64`. */
  readonly packages: readonly string[]
  /** What the base has; nothing unless given. */
  readonly installed?: readonly PackageRecord[] | undefined
  /**
   * Adds what the official slim image has: all packages that are Essential or of priority `required`, and apt; and
   * `ca-certificates`, which that image lacks.
   */
  readonly isBootstrap?: boolean | undefined
  readonly mirrors?: DebianMirrors | undefined
  /** Archives to use in place of Debian's own. */
  readonly sources?: readonly ArchiveSource[] | undefined
  /** Archives to use besides, such as a vendor's. */
  readonly extraSources?: readonly ArchiveSource[] | undefined
  /** Archives that the base's own apt asks. They are read only when a wanted package is in none of the others. */
  readonly baseSources?: readonly ArchiveSource[] | undefined
}

/** What resolving needs of the world. */
export interface DebianContext extends ArchiveContext {
  readonly report: Report
}

/** Archives that were read, to choose from more than once. */
export interface DebianArchives {
  /**
   * Chooses what a list of packages needs, and names each file by address, size and SHA-256, proven by the archive's signature.
   *
   * @param packages  names as `apt-get install` takes them
   * @throws BuildError PACKAGE_NOT_FOUND, RESOLVE_CONFLICT, ARCHIVE_UNAVAILABLE
   */
  choose(packages: readonly string[]): Promise<DebianLock>
}

/**
 * Reads the archives of a request and chooses its packages.
 *
 * @returns the choice, and the archives, which hold some 10 MB of memory
 * @throws BuildError PACKAGE_NOT_FOUND, RESOLVE_CONFLICT, SIGNATURE_INVALID, ARCHIVE_INVALID, ARCHIVE_UNAVAILABLE
 */
export async function openDebian(
  request: DebianRequest,
  context: DebianContext,
): Promise<{ readonly lock: DebianLock; readonly archives: DebianArchives }> {
  return runTask(context.report, `packages of ${request.suite}`, async () => {
    const sources = [
      ...(request.sources ?? debianSources(request.suite, request.mirrors)),
      ...(request.extraSources ?? []),
    ]
    const parse = (packages: readonly string[]): Wanted[] =>
      packages.map((text) => parseWanted(text, request.architecture))
    const wanted = parse(request.packages)
    const read = await readArchives(sources, wanted, request, context)
    try {
      const lock = await choose(read, wanted, request, context)
      return { lock, archives: { choose: async (packages) => choose(read, parse(packages), request, context) } }
    } finally {
      await read.kept
    }
  })
}

/** The same for a request whose packages are all known from the start. */
export async function resolveDebian(request: DebianRequest, context: DebianContext): Promise<DebianLock> {
  return (await openDebian(request, context)).lock
}

async function choose(
  { universe: all, releases }: ReadUniverse,
  asked: readonly Wanted[],
  request: DebianRequest,
  context: DebianContext,
): Promise<DebianLock> {
  const pins = asked.flatMap(({ name, version }) => (version === undefined ? [] : [[name, version] as const]))
  const universe = all.pinned(new Map(pins))
  const stoodFor = standIns(asked, universe, request)
  const wanted = asked.map((one) => ({ ...one, name: stoodFor.get(one.name) ?? one.name }))
  for (const { name, version } of wanted) assertKnown(name, version, universe, request)
  const bootstrap = request.isBootstrap === true ? bootstrapNames(universe) : []
  const names = [...bootstrap, ...wanted.map(({ name }) => name)]
  const installed = request.installed ?? []
  const selections = solve({
    packages: [...new Set(names)],
    universe,
    installed,
    architecture: request.architecture,
  })
  const base = new Set(bootstrap)
  // What was asked for keeps its name, unless its stand-in was asked for as well.
  const isAsked = new Set(asked.map(({ name }) => name))
  const nameOf = new Map([...stoodFor].flatMap(([name, other]) => (isAsked.has(other) ? [] : [[other, name] as const])))
  const packages = selections.map(({ record, root }) =>
    lockedDeb(record, base.has(root) ? BASE_ROOT : (nameOf.get(root) ?? root)),
  )
  for (const [name, other] of stoodFor) {
    const text = `${request.suite} no longer has \`${name}\`, which held nothing but its need of \`${other}\`: that is taken`
    context.report({ type: 'note', level: 'info', text })
  }
  // Scripts of the base's own set are all stood in for; its tests hold that true.
  const others = packages.filter(({ root }) => root !== BASE_ROOT)
  return {
    suite: request.suite,
    architecture: request.architecture,
    releases: releases.map(lockedRelease),
    packages,
    upgraded: upgradesOf(selections, installed),
    scriptsNotRun: await inspectScripts(others, request.architecture, context),
  }
}

/** What is taken in place of packages that were empty and are gone, by their names. */
function standIns(
  wanted: readonly Wanted[],
  universe: Universe,
  { installed }: DebianRequest,
): ReadonlyMap<string, string> {
  const names = new Set(wanted.map(({ name }) => name))
  return new Map(
    [...names].flatMap((name) => {
      const other = isKnown(name, universe, installed) ? undefined : broughtBy(name)
      return other !== undefined && isKnown(other, universe, installed) ? [[name, other] as const] : []
    }),
  )
}

async function readArchives(
  sources: readonly ArchiveSource[],
  wanted: readonly Wanted[],
  { architecture, installed, baseSources = [] }: DebianRequest,
  context: DebianContext,
): Promise<ReadUniverse> {
  const read = await readUniverse(sources, architecture, context)
  const isMissing = wanted.some(({ name }) => !isKnown(name, read.universe, installed))
  if (!isMissing || baseSources.length === 0) return read
  // From where they are read again.
  await read.kept
  return readUniverse([...sources, ...baseSources], architecture, context)
}

function isKnown(name: string, universe: Universe, installed: DebianRequest['installed']): boolean {
  return (
    universe.versionsOf(name).length > 0 ||
    universe.providersOf({ name }).length > 0 ||
    (installed?.some((record) => record.name === name) ?? false)
  )
}

/** What was asked for; the newest version unless one is named. */
interface Wanted {
  readonly name: string
  readonly version: string | undefined
}

/** Splits `name[:architecture][=version]`. @throws BuildError REQUIREMENT_INVALID */
export function parseWanted(text: string, architecture: string): Wanted {
  const match = /^([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?(?:=(\S+))?$/.exec(text.trim())
  const [, name, qualifier, version] = match ?? []
  if (name === undefined) {
    throw new BuildError('REQUIREMENT_INVALID', `Not the name of a system package: \`${text}\``, {
      hint: 'Write the name as `apt-get install` takes it: `git`, or `git=1:2.39.5-0+deb12u2` for one version.',
    })
  }
  if (qualifier !== undefined && qualifier !== architecture && qualifier !== 'any' && qualifier !== 'all') {
    throw new BuildError('NOT_SUPPORTED', `\`${text}\` is for another architecture than the image's ${architecture}`, {
      hint: 'Leave the architecture out.',
    })
  }
  return { name, version }
}

function assertKnown(name: string, version: string | undefined, universe: Universe, request: DebianRequest): void {
  const versions = universe.versionsOf(name)
  if (!isKnown(name, universe, request.installed)) {
    const renamed = newName(name, (other) => isKnown(other, universe, request.installed))
    const near = renamed ?? nearest(name, universe.names())
    throw new BuildError('PACKAGE_NOT_FOUND', `${request.suite} has no package named \`${name}\``, {
      hint:
        near === undefined
          ? "Look the name up at the distribution; a vendor's own archive can be named in build.apt_sources."
          : renamed === undefined
            ? `Did you mean \`${near}\`?`
            : `Its place was taken by \`${near}\`.`,
      data: { package: name, suite: request.suite, ...(near === undefined ? {} : { nearest: near }) },
    })
  }
  if (version !== undefined && !versions.some((record) => record.version === version)) {
    throw new BuildError('PACKAGE_NOT_FOUND', `${request.suite} has no version ${version} of \`${name}\``, {
      hint: `It has ${versions.map((record) => record.version).join(', ') || 'none'}. A snapshot of the archive has older ones.`,
      data: { package: name, version, available: versions.map((record) => record.version) },
    })
  }
}

// debootstrap's minbase: `usr-is-merged` stands for what the archive's default, `usrmerge`, would do at run time.
function bootstrapNames(universe: Universe): string[] {
  const hasMerge = universe.candidateOf('usrmerge') !== undefined && universe.candidateOf('usr-is-merged') !== undefined
  return [...universe.requiredNames(), ...(hasMerge ? ['usr-is-merged'] : []), 'apt', 'ca-certificates']
}

function upgradesOf(selections: readonly Selection[], installed: readonly PackageRecord[]): DebianLock['upgraded'] {
  const before = new Map(installed.map((record) => [record.name, record.version]))
  return selections.flatMap(({ record }) => {
    const from = before.get(record.name)
    return from === undefined ? [] : [{ package: record.name, from }]
  })
}

function lockedRelease(release: Release): LockedRelease {
  const { source, codename, date, sha256 } = release
  return { archive: source.url, suite: source.suite, codename, date: date.toISOString(), sha256 }
}

function lockedDeb(record: PackageRecord, root: string): LockedDeb {
  const replaces = record.clauses('replaces').flatMap((clause) => clause.map((relation) => relation.name))
  return {
    package: record.name,
    version: record.version,
    architecture: record.architecture,
    url: `${record.archive}/${record.field('filename').replace(/^\.\//, '')}`,
    sha256: record.field('sha256'),
    sizeBytes: Number(record.field('size')),
    installedBytes: Number(record.field('installed-size') || 0) * 1024,
    root,
    ...(replaces.length === 0 ? {} : { replaces: [...new Set(replaces)].sort() }),
  }
}
