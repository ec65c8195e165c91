import { readFileSync } from 'node:fs'
import { posix } from 'node:path'

/** What the control groups of a process let it have; what nobody limits is absent. */
export interface CgroupLimits {
  /** Time of processors in each second of the clock: 1.5 for one and a half. */
  readonly processors?: number | undefined
  readonly memoryBytes?: number | undefined
}

/**
 * Reads what this process may have, as containers and services say it; the strictest of its own group and those above it.
 *
 * A container sees its own group at the root of the mount while `/proc/self/cgroup` may still name its place on the host, so
 * folders that are not there are passed over. Elsewhere than on Linux nothing is found, and nothing is limited.
 *
 * @param root  where `proc` and `sys` lie
 * @see Linux, Documentation/admin-guide/cgroup-v2.rst, `cpu.max` and `memory.max`; cgroup-v1/memory.rst
 */
export function readCgroupLimits(root = '/'): CgroupLimits {
  const groups = read(posix.join(root, 'proc/self/cgroup')) ?? ''
  const processors: number[] = []
  const memory: number[] = []
  const keep = (all: number[], value: number | undefined): void => void (value !== undefined && all.push(value))
  for (const [, controllers = '', path = '/'] of groups.matchAll(/^\d+:([^:\n]*):(.*)$/gm)) {
    const names = controllers.split(',')
    for (const folder of foldersOf(posix.join(root, 'sys/fs/cgroup'), controllers, path)) {
      if (controllers === '') {
        keep(processors, quotient(read(`${folder}/cpu.max`)))
        keep(memory, amount(read(`${folder}/memory.max`)))
      }
      if (names.includes('cpu')) {
        const [quota, period] = [read(`${folder}/cpu.cfs_quota_us`), read(`${folder}/cpu.cfs_period_us`)]
        keep(processors, quotient(`${quota ?? ''} ${period ?? ''}`))
      }
      if (names.includes('memory')) keep(memory, amount(read(`${folder}/memory.limit_in_bytes`)))
    }
  }
  return {
    processors: processors.length === 0 ? undefined : Math.min(...processors),
    memoryBytes: memory.length === 0 ? undefined : Math.min(...memory),
  }
}

/** Where a group and those above it may lie: the second version by itself or beside the first, the first by its controllers. */
function foldersOf(mounts: string, controllers: string, path: string): readonly string[] {
  const names = controllers.split(',')
  const tops =
    controllers === ''
      ? [mounts, `${mounts}/unified`]
      : [`${mounts}/${controllers}`, ...names.map((name) => `${mounts}/${name}`)]
  const paths: string[] = []
  for (let at = posix.join('/', path); ; at = posix.dirname(at)) {
    paths.push(at === '/' ? '' : at)
    if (at === '/') break
  }
  return [...new Set(tops)].flatMap((top) => paths.map((below) => top + below))
}

/** `QUOTA PERIOD` in microseconds; a quota of `max` or -1 is none. */
function quotient(text: string | undefined): number | undefined {
  const [quota = 0, period = 0] = (text ?? '').trim().split(/\s+/).map(Number)
  return quota > 0 && period > 0 ? quota / period : undefined
}

/** Bytes; `max` is no limit, as is what the first version says in its place: all that a signed number holds, in whole pages. */
function amount(text: string | undefined): number | undefined {
  const bytes = Number(text?.trim() || Number.NaN)
  return bytes > 0 && bytes < 2 ** 62 ? bytes : undefined
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Most of the places are not there, and one that may not be read limits nothing that could be known.
    return undefined
  }
}
