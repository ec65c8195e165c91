import type { DebianLock, LockedDeb } from '../debian/lock.ts'
import { BASE_ROOT } from '../debian/lock.ts'
import type { DebSource, DebsLayerSpec } from '../../layers/kinds/debs.ts'
import type { DebianRegistrationLayerSpec } from '../../layers/kinds/debian-registration.ts'

/** What a base tells of itself to packages that are laid on top of it; nothing for a composed base. */
export interface BaseSystem {
  /** See `packBaseFiles`. */
  readonly files: string
  /** Links to folders beside the usual ones, path -> destination. */
  readonly links: Readonly<Record<string, string>>
  /** Folders whose mode or owner is not the usual one. */
  readonly keptFolders: readonly string[]
}

/** At most so many layers for system packages: an image has 100 in all. */
const MAX_GROUPS = 12

/**
 * Turns a lock of Debian packages into layers: one for the composed base, then one for each package that was asked for with
 * what it brought first, in the order in which they were asked for; last the registration of all.
 *
 * A package added at the end of the list therefore changes no layer but the registration's.
 *
 * @param base  the base they are laid onto; the file system is composed from nothing without one
 */
export function debianLayers(lock: DebianLock, base?: BaseSystem): (DebsLayerSpec | DebianRegistrationLayerSpec)[] {
  if (lock.packages.length === 0) return []
  const leaveOut = base === undefined ? 'slim' : 'nothing'
  const links = base === undefined || Object.keys(base.links).length === 0 ? {} : { baseLinks: base.links }
  const groups = groupsOf(lock.packages).map((debs, index): DebsLayerSpec => {
    const isFirst = base === undefined && index === 0
    return {
      kind: 'debs',
      debs: debs.map(sourceOf).sort((a, b) => (a.package < b.package ? -1 : 1)),
      leaveOut,
      ...(isFirst ? { rootLinks: rootLinks(lock) } : {}),
      ...links,
      ...(base === undefined || base.keptFolders.length === 0 ? {} : { keptFolders: base.keptFolders }),
    }
  })
  const registration: DebianRegistrationLayerSpec = {
    kind: 'debian-registration',
    architecture: lock.architecture,
    debs: groups.flatMap(({ debs }) => debs).sort((a, b) => (a.package < b.package ? -1 : 1)),
    ...(base === undefined ? { bootstrap: { suite: lock.suite, leaveOut } } : { base: base.files }),
    ...links,
  }
  return [...groups, registration]
}

// Up to bookworm packages bring `/bin` and `/lib` as folders, and the merge is the installer's work.
function rootLinks(lock: DebianLock): Readonly<Record<string, string>> {
  const links = { bin: 'usr/bin', lib: 'usr/lib', sbin: 'usr/sbin' }
  return lock.architecture === 'amd64' ? { ...links, lib64: 'usr/lib64' } : links
}

function sourceOf(deb: LockedDeb): DebSource {
  const { package: name, version, architecture, url, sha256, sizeBytes, replaces } = deb
  return {
    package: name,
    version,
    architecture,
    url,
    sha256,
    sizeBytes,
    ...(replaces === undefined ? {} : { replaces }),
  }
}

function groupsOf(packages: readonly LockedDeb[]): LockedDeb[][] {
  const groups = new Map<string, LockedDeb[]>()
  const ordered = [
    ...packages.filter(({ root }) => root === BASE_ROOT),
    ...packages.filter(({ root }) => root !== BASE_ROOT),
  ]
  for (const deb of ordered) {
    const key = groups.has(deb.root) || groups.size < MAX_GROUPS ? deb.root : [...groups.keys()].at(-1)
    const group = groups.get(key ?? deb.root)
    if (group === undefined) groups.set(deb.root, [deb])
    else group.push(deb)
  }
  return joinReplaced([...groups.values()])
}

// Files of a package that another one replaces must not come back in a layer above: it joins that one's layer.
function joinReplaced(groups: LockedDeb[][]): LockedDeb[][] {
  for (const [index, group] of groups.entries()) {
    const replaced = new Set(group.flatMap(({ replaces }) => replaces ?? []))
    for (const later of groups.slice(index + 1)) {
      for (const deb of later.filter((candidate) => replaced.has(candidate.package))) {
        later.splice(later.indexOf(deb), 1)
        group.push(deb)
      }
    }
  }
  return groups.filter((group) => group.length > 0)
}
