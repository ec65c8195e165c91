import type { BaseSystemScan } from '../debian/base-system.ts'
import { parseStatus, type InstalledPackage } from '../debian/status.ts'
import type { LockedLibc } from '../lock/lock.ts'
import type { InstalledDistribution } from '../python/installed.ts'
import { APT_KEYS, APT_LISTS, DISTRIBUTION, MUSL, OS_RELEASE, type BaseScan } from './scan-base.ts'

/** What must be known of an existing base before packages can be chosen for it. */
export interface BaseFacts {
  /** `ID` of os-release, such as `debian`; empty when the base has none. */
  readonly osId: string
  /** `VERSION_ID` of os-release, such as `22.04`. */
  readonly osVersion: string
  /** `VERSION_CODENAME` of os-release, such as `jammy`. */
  readonly osCodename: string
  readonly libc: LockedLibc | undefined
  /** Interpreters, newest version first. */
  readonly pythons: readonly FoundPython[]
  /** What laying packages on the base needs to know of it. */
  readonly system: BaseSystemScan
  /** dpkg's database, when the base has one. */
  readonly packages: readonly InstalledPackage[] | undefined
  /** What the base's own apt has been told of archives: texts by path, in order of the paths. */
  readonly aptLists: ReadonlyMap<string, string>
  /** Keys that the base's own apt may be told to trust, by path. */
  readonly aptKeys: ReadonlyMap<string, Buffer>
  /** Python distributions by the path of their METADATA, wherever they lie; see {@link distributionsFor}. */
  readonly distributions: ReadonlyMap<string, string>
}

/** An interpreter of the base. */
export interface FoundPython {
  /** Full version. */
  readonly version: string
  /** Absolute path. */
  readonly executable: string
}

/**
 * What a base that was read tells.
 *
 * @param environment  the base's variables; images of Docker's `python` name their version there
 */
export function factsOf({ files, paths, system }: BaseScan, environment: readonly string[]): BaseFacts {
  const release = parseOsRelease(text(files.get(OS_RELEASE[0]) ?? files.get(OS_RELEASE[1])))
  const packages = readPackages(files)
  const distributions = new Map(
    [...files].flatMap(([path, bytes]) => (DISTRIBUTION.test(path) ? [[path, text(bytes)]] : [])),
  )
  return {
    osId: release.get('ID') ?? '',
    osVersion: release.get('VERSION_ID') ?? '',
    osCodename: release.get('VERSION_CODENAME') ?? '',
    libc: findLibc(packages, paths, release),
    pythons: findPythons(files, paths, packages, environment),
    system,
    packages,
    aptLists: new Map(
      [...files.keys()]
        .filter((path) => APT_LISTS.test(path))
        .sort()
        .map((path) => [path, text(files.get(path))]),
    ),
    aptKeys: new Map([...files].filter(([path, bytes]) => APT_KEYS.test(path) && bytes.length > 0)),
    distributions,
  }
}

/**
 * What an interpreter of the base finds besides its standard library, in the order in which it looks: `/usr/local` first, as
 * Debian's Python does.
 *
 * @param executable absolute, such as `/usr/local/bin/python3.11`
 */
export function distributionsFor(
  { distributions }: Pick<BaseFacts, 'distributions'>,
  executable: string,
): readonly InstalledDistribution[] {
  const [, prefix, minor] = /^\/(usr(?:\/local)?)\/bin\/python(3\.\d+)$/.exec(executable) ?? []
  if (prefix === undefined || minor === undefined) return []
  const folders =
    prefix === 'usr/local'
      ? [`usr/local/lib/python${minor}/site-packages/`]
      : [
          `usr/local/lib/python${minor}/dist-packages/`,
          `usr/lib/python3/dist-packages/`,
          `usr/lib/python${minor}/dist-packages/`,
          `usr/lib/python${minor}/site-packages/`,
        ]
  return folders.flatMap((folder) =>
    [...distributions].flatMap(([path, metadata]) =>
      path.startsWith(folder) && metadata !== '' ? [{ path, metadata }] : [],
    ),
  )
}

function readPackages(files: ReadonlyMap<string, Buffer>): InstalledPackage[] | undefined {
  const databases = [...files.keys()].filter((path) => path.startsWith('var/lib/dpkg/'))
  if (databases.length === 0) return undefined
  return databases.sort().flatMap((path) => parseStatus(text(files.get(path))))
}

function findLibc(
  packages: readonly InstalledPackage[] | undefined,
  paths: ReadonlySet<string>,
  release: ReadonlyMap<string, string>,
): LockedLibc | undefined {
  if ([...paths].some((path) => MUSL.test(path)) || release.get('ID') === 'alpine') {
    return { kind: 'musl', major: 1, minor: 2 }
  }
  const libc6 = packages?.find(({ stanza }) => stanza.get('package') === 'libc6')?.stanza.get('version')
  const match = /^(?:\d+:)?(\d+)\.(\d+)/.exec(libc6 ?? '')
  return match === null ? undefined : { kind: 'glibc', major: Number(match[1]), minor: Number(match[2]) }
}

function findPythons(
  files: ReadonlyMap<string, Buffer>,
  paths: ReadonlySet<string>,
  packages: readonly InstalledPackage[] | undefined,
  environment: readonly string[],
): FoundPython[] {
  const stated = environment.find((line) => line.startsWith('PYTHON_VERSION='))?.slice('PYTHON_VERSION='.length)
  const found: FoundPython[] = []
  for (const path of paths) {
    const minor = /python(3\.\d+)$/.exec(path)?.[1]
    if (minor === undefined) continue
    const header = files.get(path.replace(/bin\/python3\.\d+$/, `include/python${minor}/patchlevel.h`))
    const fromHeader = /#define PY_VERSION\s+"(\d+\.\d+\.\d+)/.exec(text(header))?.[1]
    const fromDpkg = packages?.find(({ stanza }) => stanza.get('package') === `python${minor}-minimal`)
    const candidates = [fromHeader, stated, /^\d+\.\d+\.\d+/.exec(fromDpkg?.stanza.get('version') ?? '')?.[0]]
    const version = candidates.find((candidate) => candidate?.startsWith(`${minor}.`) === true)
    if (version !== undefined) found.push({ version, executable: `/${path}` })
  }
  return found.sort((a, b) => Number(b.version.split('.')[1]) - Number(a.version.split('.')[1]))
}

/** @see os-release(5) */
function parseOsRelease(content: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const line of content.split('\n')) {
    const match = /^([A-Z_]+)=(["']?)(.*)\2$/.exec(line.trim())
    if (match !== null) fields.set(match[1] ?? '', match[3] ?? '')
  }
  return fields
}

function text(bytes: Buffer | undefined): string {
  return bytes?.toString('utf8') ?? ''
}
