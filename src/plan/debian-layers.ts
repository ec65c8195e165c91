import { groupFiles } from '../../layers/group.ts'
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
