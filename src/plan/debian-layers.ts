import { groupFiles } from '../../layers/group.ts'
import { unpackBaseFiles } from '../debian/base-files.ts'
import { DIVERSIONS_FILE, parseDiversions, type Diversion } from '../debian/diversions.ts'
import type { DebianLock, LockedDeb } from '../debian/lock.ts'
import { USRMERGE_LINKS } from '../debian/paths.ts'
import type { PlannedLayer } from './plan.ts'

/** Layers that packages of a composed base may use. */
const BASE_LAYERS = 12

/**
 * The layers of a root file system composed from Debian's packages, lowest first: what every such base has, what the
 * project adds, and what registers both.
 */
export function debianBaseLayers(lock: DebianLock, added: readonly string[]): PlannedLayer[] {
  const isAdded = ({ root }: LockedDeb): boolean => added.includes(root)
  const common = lock.packages.filter((deb) => !isAdded(deb))
  const layers = [common, lock.packages.filter(isAdded)].flatMap((debs, index) =>
    groups(debs).map((group, position): PlannedLayer => ({
      role: index === 0 ? 'base' : 'system',
      title:
        group.length === 1 ? `${group[0]?.package} ${group[0]?.version}` : `${group.length} packages of ${lock.suite}`,
      spec: {
        kind: 'debs',
        debs: group,
        leaveOut: 'slim',
        ...(index === 0 && position === 0 ? { rootLinks: USRMERGE_LINKS } : {}),
      },
    })),
  )
  return [
    ...layers,
    {
      role: 'system',
      title: `registration of ${lock.packages.length} packages`,
      spec: {
        kind: 'debian-registration',
        architecture: lock.architecture,
        debs: sources(lock.packages),
        bootstrap: { suite: lock.suite, leaveOut: 'slim' },
      },
    },
  ]
}

/**
 * The layers of packages on top of an existing base: one for each package that was asked for with what it brought first, so
 * that a package added at the end changes none of those before it; then what registers all.
 */
export function systemPackageLayers(lock: DebianLock): PlannedLayer[] {
  if (lock.packages.length === 0) return []
  const links = Object.keys(lock.base?.links ?? {}).length === 0 ? {} : { baseLinks: lock.base?.links }
  const kept = Object.keys(lock.base?.keptFolders ?? {}).length === 0 ? {} : { keptFolders: lock.base?.keptFolders }
  const diversions = diversionsOf(lock)
  return [
    ...rootGroups(lock.packages).map((debs): PlannedLayer => ({
      role: 'system',
      title:
        debs.length === 1
          ? `${debs[0]?.package} ${debs[0]?.version}`
          : `${debs[0]?.root} and ${debs.length - 1} packages it needs`,
      spec: { kind: 'debs', debs: sources(debs), leaveOut: 'nothing', ...links, ...kept, ...diversions },
    })),
    {
      role: 'system',
      title: `registration of ${lock.packages.length} packages`,
      spec: {
        kind: 'debian-registration',
        architecture: lock.architecture,
        debs: sources(lock.packages),
        ...(lock.base === undefined ? {} : { base: lock.base.files }),
        ...links,
        ...kept,
      },
    },
  ]
}

function diversionsOf({ base }: DebianLock): { readonly diversions?: readonly Diversion[] } {
  const diversions = parseDiversions(unpackBaseFiles(base?.files).get(DIVERSIONS_FILE)?.toString('utf8') ?? '')
  return diversions.length === 0 ? {} : { diversions }
}

// Files of a package that another one replaces must not come back in a layer above: it joins that one's layer.
function rootGroups(packages: readonly LockedDeb[]): LockedDeb[][] {
  const byRoot = new Map<string, LockedDeb[]>()
  for (const deb of packages) {
    const last = [...byRoot.keys()].at(-1)
    const key = byRoot.has(deb.root) || byRoot.size < BASE_LAYERS ? deb.root : (last ?? deb.root)
    byRoot.set(key, [...(byRoot.get(key) ?? []), deb])
  }
  const all = [...byRoot.values()]
  for (const [index, group] of all.entries()) {
    const replaced = new Set(group.flatMap(({ replaces }) => replaces ?? []))
    for (const later of all.slice(index + 1)) {
      for (const deb of later.filter((candidate) => replaced.has(candidate.package))) {
        later.splice(later.indexOf(deb), 1)
        group.push(deb)
      }
    }
  }
  return all.filter((group) => group.length > 0)
}

function groups(debs: readonly LockedDeb[]): (readonly ReturnType<typeof sources>[number][])[] {
  return groupFiles(
    sources(debs).map((deb) => ({ ...deb, name: deb.package })),
    { aloneBytes: 16_000_000, budget: BASE_LAYERS },
  ).map((group) => group.map(({ name: _, ...deb }) => deb))
}

function sources(
  debs: readonly LockedDeb[],
): Pick<LockedDeb, 'url' | 'sha256' | 'sizeBytes' | 'package' | 'version' | 'architecture' | 'replaces'>[] {
  return debs.map(({ url, sha256, sizeBytes, package: name, version, architecture, replaces }) => ({
    url,
    sha256,
    sizeBytes,
    package: name,
    version,
    architecture,
    ...(replaces === undefined ? {} : { replaces }),
  }))
}
