import { existsSync, lstatSync, readdirSync, readlinkSync, renameSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { systemErrorCode } from '../core/errors.ts'
import { removeTree } from './unpack/remove-tree.ts'

/** What {@link pruneRootfs} took away, or would. */
export interface PrunedRootfs {
  readonly removedFiles: number
  readonly removedBytes: number
}

/** How {@link pruneRootfs} chooses. */
export interface PruneRootfsOptions {
  /** Only what was not run for this long; everything unless given. */
  readonly olderThanMs?: number | undefined
  readonly isDryRun?: boolean | undefined
  readonly now?: () => number
}

/**
 * Removes unpacked layers that no running container uses. They are unpacked again when an image needs them.
 *
 * Only this user's are looked at; others' could not be removed.
 */
export function pruneRootfs(storeFolder: string, options: PruneRootfsOptions = {}): PrunedRootfs {
  const folder = join(storeFolder, 'rootfs', String(process.getuid?.() ?? 0))
  const beforeMs = (options.now ?? Date.now)() - (options.olderThanMs ?? 0)
  const used = usedFolders(folder)
  const total = { removedFiles: 0, removedBytes: 0 }
  for (const kind of ['layers', 'trees']) {
    for (const name of list(join(folder, kind))) {
      const path = join(folder, kind, name)
      if (used.has(path) || lstatSync(path).atimeMs > beforeMs) continue
      const size = measure(path)
      total.removedFiles += size.removedFiles
      total.removedBytes += size.removedBytes
      if (options.isDryRun === true) continue
      // Away at once under its name, so that nobody starts with half of it.
      const aside = join(folder, 'tmp', `unpack-${process.pid}-${name.slice(0, 12)}`)
      renameSync(path, aside)
      removeTree(aside)
    }
  }
  return total
}

/** Notes that a folder was used; its own time, which containers see, stays. */
export function markUsed(path: string): void {
  utimesSync(path, new Date(), lstatSync(path).mtime)
}

/** Folders that containers of living processes are stacked from. */
function usedFolders(folder: string): ReadonlySet<string> {
  const running = list(join(folder, 'tmp')).filter((name) => existsSync(`/proc/${/^run-(\d+)-/.exec(name)?.[1]}`))
  const links = running.flatMap((name) => {
    const layers = join(folder, 'tmp', name, 'layers')
    return list(layers).map((link) => readlinkSync(join(layers, link)))
  })
  return new Set(links)
}

function measure(path: string): PrunedRootfs {
  const total = { removedFiles: 0, removedBytes: 0 }
  const todo = [path]
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    const stats = lstatSync(at)
    total.removedFiles++
    total.removedBytes += stats.blocks * 512
    if (stats.isDirectory()) for (const name of list(at)) todo.push(join(at, name))
  }
  return total
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'ENOENT' || code === 'EACCES') return []
    throw error
  }
}
