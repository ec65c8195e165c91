import { parseVersion } from './version.ts'
import type { WheelName } from './wheel-name.ts'
import { fullPythonVersion, machineOf, type Target } from './target.ts'

/** The tags that a target accepts, each with its rank; a lower rank is better. */
export interface TargetTags {
  readonly ranks: ReadonlyMap<string, number>
  readonly pythons: ReadonlySet<string>
  readonly abis: ReadonlySet<string>
  readonly platforms: ReadonlySet<string>
}

/**
 * Computes the tags of a target, best first: the version's own ABI, the stable ABI down to 3.2, then pure Python.
 *
 * @see PEP 425, "Use"; PEP 600 (manylinux); PEP 656 (musllinux); PEP 703 (free-threaded ABI)
 */
export function targetTags(target: Target): TargetTags {
  const platforms = platformTags(target)
  const [major = 3, minor = 0] = parseVersion(fullPythonVersion(target.pythonVersion)).release.map(Number)
  const own = `cp${major}${minor}`
  const abi = target.isFreeThreaded === true ? `${own}t` : major === 3 && minor < 8 ? `${own}m` : own
  const older = Array.from({ length: minor }, (_, i) => minor - 1 - i)
  const stableAbi = target.isFreeThreaded === true ? [] : [minor, ...older].filter((n) => n >= 2)
  const pure = [`py${major}${minor}`, `py${major}`, ...older.map((n) => `py${major}${n}`)]
  const pairs = [
    `${own}-${abi}`,
    ...stableAbi.slice(0, 1).map(() => `${own}-abi3`),
    `${own}-none`,
    ...stableAbi.slice(1).map((n) => `cp${major}${n}-abi3`),
    ...pure.map((python) => `${python}-none`),
  ]
  const tags = [
    ...pairs.flatMap((pair) => platforms.map((platform) => `${pair}-${platform}`)),
    ...[own, ...pure].map((python) => `${python}-none-any`),
  ]
  return {
    ranks: new Map(tags.map((tag, rank) => [tag, rank])),
    pythons: new Set(tags.map((tag) => tag.split('-')[0] ?? '')),
    abis: new Set(tags.map((tag) => tag.split('-')[1] ?? '')),
    platforms: new Set([...platforms, 'any']),
  }
}

/** The rank of a wheel's best tag, or undefined when none fits. */
export function rankWheel(
  wheel: Pick<WheelName, 'pythons' | 'abis' | 'platforms'>,
  tags: TargetTags,
): number | undefined {
  let best: number | undefined
  for (const python of wheel.pythons) {
    if (!tags.pythons.has(python)) continue
    for (const abi of wheel.abis) {
      if (!tags.abis.has(abi)) continue
      for (const platform of wheel.platforms) {
        const rank = tags.ranks.get(`${python}-${abi}-${platform}`)
        if (rank !== undefined && (best === undefined || rank < best)) best = rank
      }
    }
  }
  return best
}

/** Which part of a wheel's tags keeps it off a target, judged from the left. */
export type TagMismatch = 'python' | 'abi' | 'platform'

/** Says why a wheel does not fit; call it only for wheels without a rank. */
export function tagMismatch(wheel: Pick<WheelName, 'pythons' | 'abis' | 'platforms'>, tags: TargetTags): TagMismatch {
  if (!wheel.platforms.some((platform) => tags.platforms.has(platform))) return 'platform'
  if (!wheel.pythons.some((python) => tags.pythons.has(python))) return 'python'
  return 'abi'
}

/** Older names of three manylinux levels. @see PEP 600, "Legacy manylinux tags" */
const LEGACY: Readonly<Record<number, string>> = { 17: 'manylinux2014', 12: 'manylinux2010', 5: 'manylinux1' }

function platformTags(target: Target): readonly string[] {
  const machine = machineOf(target.platform)
  const { kind, major, minor } = target.libc
  if (kind === 'musl') {
    const levels = Array.from({ length: minor + 1 }, (_, i) => `musllinux_${major}_${minor - i}_${machine}`)
    return [...levels, `linux_${machine}`]
  }
  // PEP 600 names no glibc older than 2.5, and no other architecture had wheels before 2.17.
  const oldest = machine === 'x86_64' || machine === 'i686' ? 5 : 17
  const levels: string[] = []
  for (let level = minor; level >= oldest; level--) {
    levels.push(`manylinux_${major}_${level}_${machine}`)
    const legacy = LEGACY[level]
    if (legacy !== undefined) levels.push(`${legacy}_${machine}`)
  }
  return [...levels, `linux_${machine}`]
}
