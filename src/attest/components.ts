import { maskUrl } from '../core/http.ts'
import type { RemoteFile } from '../core/remote-file.ts'
import type { DebianLock } from '../debian/lock.ts'
import type { LockedBase, LockedInterpreter, PlatformLock } from '../lock/lock.ts'

/** One thing that an image is made of, provable by its hash. */
export interface Component {
  readonly kind: 'python' | 'debian' | 'interpreter' | 'base'
  readonly name: string
  readonly version: string
  /** Package URL. @see https://github.com/package-url/purl-spec */
  readonly purl: string
  /** Of the file it came in; of its manifest for a base image. */
  readonly sha256: string
  /** Where it came from, without credentials; absent for an image that was read from this machine. */
  readonly url?: string | undefined
  /** Purls of the components that it requires. */
  readonly requires: readonly string[]
}

/**
 * What an image is made of, by its lock: every wheel, Debian package, interpreter and base, sorted by purl.
 *
 * It is complete for all that this program lays down. What a base image brings is one component, by digest: the base has, or
 * lacks, a list of its own.
 */
export function listComponents(lock: PlatformLock): readonly Component[] {
  const all = [
    ...baseComponents(lock.base),
    ...interpreterComponents(lock.interpreter),
    ...(lock.systemPackages === undefined ? [] : debianComponents(lock.systemPackages, distributionOf(lock.base))),
    ...pythonComponents(lock.wheels),
    ...pythonComponents(lock.launcher),
  ]
  return [...new Map(all.map((component) => [component.purl, component])).values()].sort((a, b) =>
    a.purl < b.purl ? -1 : 1,
  )
}

function baseComponents(base: LockedBase): readonly Component[] {
  if (base.kind === 'debian') return debianComponents(base.packages, 'debian')
  const { location, manifest } = base
  const isRemote = location.startsWith('docker://')
  const path = location.replace(/^[a-z-]+:(?:\/\/)?/, '').replace(/@.*$/, '')
  const repository = path.replace(/:[^:/]*$/, '')
  const name = repository.split('/').at(-1) ?? repository
  const tag = path.slice(repository.length + 1)
  const query = isRemote ? `?repository_url=${encode(repository)}${tag === '' ? '' : `&tag=${encode(tag)}`}` : ''
  return [
    {
      kind: 'base',
      name,
      version: tag === '' ? manifest.digest : tag,
      purl: `pkg:oci/${encode(name.toLowerCase())}@${encode(manifest.digest)}${query}`,
      sha256: manifest.digest.replace(/^sha256:/, ''),
      ...(isRemote ? { url: `https://${repository}` } : {}),
      requires: [],
    },
  ]
}

function interpreterComponents({ version, archive }: LockedInterpreter): readonly Component[] {
  if (archive === undefined) return []
  return [
    {
      kind: 'interpreter',
      name: 'cpython',
      version,
      purl: `pkg:generic/cpython@${encode(version)}?checksum=${encode(`sha256:${archive.sha256}`)}`,
      ...fileOf(archive),
      requires: [],
    },
  ]
}

function debianComponents({ packages, suite }: DebianLock, distribution: string): readonly Component[] {
  return packages.map((deb) => ({
    kind: 'debian',
    name: deb.package,
    version: deb.version,
    purl: `pkg:deb/${distribution}/${encode(deb.package)}@${encode(deb.version)}?arch=${deb.architecture}&distro=${encode(suite)}`,
    ...fileOf(deb),
    requires: [],
  }))
}

function pythonComponents(wheels: PlatformLock['wheels']): readonly Component[] {
  const purls = new Map(wheels.map(({ name, version }) => [name, `pkg:pypi/${name}@${encode(version)}`]))
  return wheels.map((wheel) => ({
    kind: 'python',
    name: wheel.name,
    version: wheel.version,
    purl: purls.get(wheel.name) ?? '',
    ...fileOf(wheel),
    requires: wheel.dependencies.flatMap((name) => purls.get(name) ?? []),
  }))
}

function fileOf({ sha256, url }: RemoteFile): Pick<Component, 'sha256' | 'url'> {
  return url.startsWith('file:') ? { sha256 } : { sha256, url: maskUrl(url) }
}

function distributionOf(base: LockedBase): string {
  return base.kind === 'image' ? (base.operatingSystem.split(' ')[0]?.toLowerCase() ?? 'debian') : 'debian'
}

/** Percent-encodes a part of a purl; `:` may stand as it is, `+` may not. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll('%3A', ':')
}
