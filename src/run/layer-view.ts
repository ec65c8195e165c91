import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import { isDeletionMark } from './unpack/overlay-marks.ts'
import type { BytePath } from './unpack/tar-entries.ts'

/** What a path means inside the overlay of some folders. */
export interface Found {
  /** The path in the image with all links resolved, with a leading slash. */
  readonly path: string
  /** Where it lies on the host; undefined when the image has nothing there. */
  readonly host: string | undefined
  readonly stats: Stats | undefined
}

const MAX_LINKS = 40

/**
 * Looks a path up as a process inside the image would, links followed and never out of it, without mounting anything.
 *
 * @param folders topmost first, as `unpackImage` gives them
 * @returns undefined for links without end and paths below a file
 */
export function findInImage(folders: readonly string[], path: string): Found | undefined {
  const todo = path.split('/').reverse()
  let at: string[] = []
  let found: Stats | undefined
  let links = 0
  for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
    if (part === '' || part === '.') continue
    if (part === '..') {
      at = at.slice(0, -1)
      continue
    }
    const next = [...at, part]
    const entry = topmost(folders, next)
    found = entry?.stats
    if (entry?.stats.isSymbolicLink()) {
      if (++links > MAX_LINKS) return undefined
      const target = readlinkSync(entry.host)
      if (target.startsWith('/')) at = []
      todo.push(...target.split('/').reverse())
      continue
    }
    if (found !== undefined && !found.isDirectory() && todo.some((rest) => rest !== '' && rest !== '.'))
      return undefined
    at = next
  }
  const entry = at.length === 0 ? undefined : topmost(folders, at)
  return { path: `/${at.join('/')}`, host: entry?.host, stats: entry?.stats }
}

/** A small text file of the image; undefined when there is none. */
export function readTextInImage(folders: readonly string[], path: string): string | undefined {
  const found = findInImage(folders, path)
  if (found?.host === undefined || !found.stats?.isFile() || found.stats.size > 4 * 1024 * 1024) return undefined
  return readFileSync(found.host, 'utf8')
}

/**
 * What the overlay shows in a directory, by name.
 *
 * @param directory without links in it; of something else nothing is shown
 */
export function listInImage(folders: readonly string[], directory: BytePath): ReadonlyMap<BytePath, Stats> {
  const found = new Map<BytePath, Stats | undefined>()
  for (const folder of folders) {
    const kind = kindOf(directory, (path) => lstatSync(hostPath(folder, path), { throwIfNoEntry: false }))
    if (kind === 'other') break
    if (kind === 'missing') continue
    for (const bytes of readdirSync(hostPath(folder, directory), { encoding: 'buffer' })) {
      const name = bytes.toString('latin1')
      if (found.has(name)) continue
      const stats = lstatSync(hostPath(folder, `${directory}/${name}`))
      found.set(name, isDeletionMark(stats) ? undefined : stats)
    }
  }
  return new Map([...found].flatMap(([name, stats]) => (stats === undefined ? [] : [[name, stats]])))
}

/** Where a path of an unpacked folder lies on the host. */
export function hostPath(folder: string, path: BytePath): Buffer {
  return Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(path, 'latin1')])
}

function kindOf(path: BytePath, stat: (path: BytePath) => Stats | undefined): 'directory' | 'missing' | 'other' {
  const parts = path.split('/')
  for (let depth = 1; depth <= parts.length; depth++) {
    const stats = stat(parts.slice(0, depth).join('/'))
    if (stats === undefined) return 'missing'
    if (!stats.isDirectory()) return 'other'
  }
  return 'directory'
}

/** The entry that the overlay shows, parents being directories without links. */
function topmost(folders: readonly string[], parts: readonly string[]): { host: string; stats: Stats } | undefined {
  for (const folder of folders) {
    for (let depth = 1; depth <= parts.length; depth++) {
      const host = join(folder, ...parts.slice(0, depth))
      const stats = lstatSync(host, { throwIfNoEntry: false })
      if (stats === undefined) break
      if (isDeletionMark(stats)) return undefined
      if (depth === parts.length) return { host, stats }
      // Something other than a directory hides what lower layers have below it.
      if (!stats.isDirectory()) return undefined
    }
  }
  return undefined
}
