import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { DebianArchitecture } from './lock.ts'
import defaults from '../core/defaults.json' with { type: 'json' }

/** A suite of an archive that packages may come from. */
export interface ArchiveSource {
  /** Address that `dists/` and `pool/` lie under, without trailing slash. */
  readonly url: string
  /** `bookworm`, `bookworm-updates`, ...; of a flat archive its folder below the address with a final `/`, or `/`. */
  readonly suite: string
  /** None for a flat archive. */
  readonly components: readonly string[]
  /** Whose shipped keys sign it, when `keys` is absent; Debian's unless given. */
  readonly distribution?: Distribution | undefined
  /** OpenPGP public keys, ASCII-armoured or binary. */
  readonly keys?: readonly Uint8Array[] | undefined
  /** Asked when none of the others fits: the base's own keyring. */
  readonly furtherKeys?: readonly Uint8Array[] | undefined
  /** False for an archive of the past, whose Release files have expired. */
  readonly checkValidUntil?: boolean | undefined
}

/**
 * Tells an archive without `dists/` and components, whose index lies beside its packages.
 *
 * @see sources.list(5): "exact path", a suite with a final slash
 */
export function isFlat({ suite }: Pick<ArchiveSource, 'suite'>): boolean {
  return suite.endsWith('/')
}

/** The address of the folder that holds a suite's Release file, without trailing slash. */
export function releaseFolder(source: Pick<ArchiveSource, 'url' | 'suite'>): string {
  const { url, suite } = source
  return isFlat(source) ? `${url}/${suite}`.replace(/\/+$/, '') : `${url}/dists/${suite}`
}

/** Where Debian's packages come from, when not from the default addresses. */
export interface DebianMirrors {
  readonly archive?: string | undefined
  readonly securityArchive?: string | undefined
  /** A moment of the past, `20260101T000000Z`, taken from the snapshot archive. */
  readonly snapshot?: string | undefined
  readonly snapshotArchive?: string | undefined
}

/** Releases of Debian that this program composes, newest last, with the Python that each has. */
export const DEBIAN_SUITES = {
  bookworm: { version: '12', python: '3.11', libc: '2.36' },
  trixie: { version: '13', python: '3.13', libc: '2.41' },
} as const

/** A release of Debian by its code name. */
export type DebianSuite = keyof typeof DEBIAN_SUITES

/** The suites of one release: main archive, updates and security, in this order. */
export function debianSources(suite: string, mirrors: DebianMirrors = {}): ArchiveSource[] {
  const { snapshot } = mirrors
  const past = (archive: string): string =>
    `${trim(mirrors.snapshotArchive ?? defaults.debianSnapshot)}/${archive}/${snapshot}`
  const archive = snapshot === undefined ? trim(mirrors.archive ?? defaults.debianArchive) : past('debian')
  const security =
    snapshot === undefined ? trim(mirrors.securityArchive ?? defaults.debianSecurityArchive) : past('debian-security')
  const common = { components: ['main'], checkValidUntil: snapshot === undefined }
  return [
    { url: archive, suite, ...common },
    { url: archive, suite: `${suite}-updates`, ...common },
    { url: security, suite: `${suite}-security`, ...common },
  ]
}

function trim(url: string): string {
  return url.replace(/\/+$/, '')
}

/** Distributions whose archive keys come with this program. */
export type Distribution = 'debian' | 'ubuntu'

/**
 * The suites of one release of Ubuntu. Other architectures than amd64 lie in an archive of their own.
 *
 * @param mirror  address in place of all of them
 */
export function ubuntuSources(codename: string, architecture: DebianArchitecture, mirror?: string): ArchiveSource[] {
  const isPort = architecture !== 'amd64'
  const archive = trim(mirror ?? (isPort ? defaults.ubuntuPorts : defaults.ubuntuArchive))
  const security = trim(mirror ?? (isPort ? defaults.ubuntuPorts : defaults.ubuntuSecurityArchive))
  const common = { components: ['main', 'restricted', 'universe', 'multiverse'], distribution: 'ubuntu' as const }
  return [
    { url: archive, suite: codename, ...common },
    { url: archive, suite: `${codename}-updates`, ...common },
    { url: security, suite: `${codename}-security`, ...common },
  ]
}

/** Hosts of the distributions' own archives, whatever mirrors are asked in their place. */
export const DISTRIBUTION_HOSTS: ReadonlySet<string> = new Set(
  [
    defaults.debianArchive,
    defaults.debianSecurityArchive,
    defaults.ubuntuArchive,
    defaults.ubuntuSecurityArchive,
    defaults.ubuntuPorts,
  ].map((url) => new URL(url).hostname),
)

/** The public keys of a distribution's archive that this program ships. */
export async function shippedKeys(distribution: Distribution): Promise<Uint8Array[]> {
  const folder = join(dirname(fileURLToPath(import.meta.url)), 'keys')
  const names = (await readdir(folder)).filter((name) => name.startsWith(`${distribution}-`)).sort()
  return Promise.all(names.map((name) => readFile(join(folder, name))))
}
