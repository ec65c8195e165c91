import { lstatSync, mkdirSync, readdirSync, readlinkSync, unlinkSync, type Stats } from 'node:fs'
import { BuildError, systemErrorCode } from '../../core/errors.ts'
import { printable, type BytePath } from './tar-entries.ts'

const MAX_LINKS = 255
const MAX_PATH_BYTES = 4096

/**
 * Cleans a path of an archive by its text alone: relative to the root, no `.`, no `..`, no doubled or trailing slash;
 * empty for the root itself. A `..` at the top stays at the top, as in a chroot.
 *
 * @throws BuildError ARCHIVE_INVALID for a path that no system call would take
 */
export function cleanPath(path: BytePath): BytePath {
  if (path.length > MAX_PATH_BYTES) {
    throw new BuildError('ARCHIVE_INVALID', `A path of ${path.length} bytes in the tar: ${printable(path)}`)
  }
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') parts.pop()
    else if (part.length > 255) throw new BuildError('ARCHIVE_INVALID', `A name of ${part.length} bytes in the tar`)
    else parts.push(part)
  }
  return parts.join('/')
}

/** What {@link Root} tells about directories it meets or makes. */
export interface RootEvents {
  /** A missing parent was made. */
  onImplicit(directory: BytePath): void
  /** A directory is about to change for the first time. */
  onTouch(directory: BytePath, stats: Stats): void
}

/**
 * A directory that stands for `/`: paths are resolved inside it as the kernel does in a chroot, so that no symbolic
 * link and no `..` leads out.
 *
 * Only one writer may work in it (a private temporary folder): nothing defends against a link that is swapped in
 * between.
 */
export class Root {
  readonly #prefix: BytePath
  readonly #events: RootEvents
  /** Directories known to be real, each of their parents too. */
  readonly #known = new Set<BytePath>([''])
  readonly #touched = new Set<BytePath>()

  constructor(folder: string, events: RootEvents) {
    this.#prefix = Buffer.from(folder).toString('latin1')
    this.#events = events
  }

  /** The path on the host of a path that {@link parent} has resolved. */
  host(path: BytePath): Buffer {
    return Buffer.from(path === '' ? this.#prefix : `${this.#prefix}/${path}`, 'latin1')
  }

  /** `lstat`; undefined when there is nothing. */
  stat(path: BytePath): Stats | undefined {
    return lstatSync(this.host(path), { throwIfNoEntry: false })
  }

  /** Names in a directory. */
  list(path: BytePath): BytePath[] {
    return readdirSync(this.host(path), { encoding: 'buffer' }).map((name) => name.toString('latin1'))
  }

  /** Where a cleaned path's last part is to be put: its parent with all links resolved, made where it is missing. */
  place(path: BytePath): BytePath {
    const slash = path.lastIndexOf('/')
    if (slash < 0) return this.#touch('', path)
    const parent = path.slice(0, slash)
    const real = this.#known.has(parent) ? parent : this.#walk(parent, true)
    if (real === undefined) throw new RangeError('A missing parent was not made')
    return this.#touch(real, `${real}/${path.slice(slash + 1)}`.replace(/^\//, ''))
  }

  /** Like {@link place}, but makes nothing: undefined when the parent is missing or no directory. */
  find(path: BytePath): BytePath | undefined {
    const slash = path.lastIndexOf('/')
    if (slash < 0) return path
    const real = this.#walk(path.slice(0, slash), false)
    return real === undefined ? undefined : `${real}/${path.slice(slash + 1)}`.replace(/^\//, '')
  }

  /** Where a whole path leads, the last part's links followed too; undefined when it leads to no directory. */
  findDirectory(path: BytePath): BytePath | undefined {
    return this.#walk(path, false)
  }

  /** Tells that a directory exists, so that it needs no look again. */
  isDirectory(path: BytePath): void {
    this.#known.add(path)
  }

  /** Forgets what was known, after a directory was removed or replaced. */
  forget(): void {
    this.#known.clear()
    this.#known.add('')
  }

  /** Tells that a directory's entries change, so that its times can be put back. */
  touch(directory: BytePath): void {
    this.#touch(directory, directory)
  }

  #touch(directory: BytePath, result: BytePath): BytePath {
    if (!this.#touched.has(directory)) {
      this.#touched.add(directory)
      const stats = this.stat(directory)
      if (stats !== undefined) this.#events.onTouch(directory, stats)
    }
    return result
  }

  #walk(path: BytePath, make: boolean): BytePath | undefined {
    const todo = path.split('/').reverse()
    let links = 0
    let at = ''
    for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
      if (part === '' || part === '.') continue
      if (part === '..') {
        at = at.slice(0, Math.max(at.lastIndexOf('/'), 0))
        continue
      }
      const next = at === '' ? part : `${at}/${part}`
      if (this.#known.has(next)) {
        at = next
        continue
      }
      const stats = this.stat(next)
      if (stats?.isSymbolicLink()) {
        if (++links > MAX_LINKS) throw new BuildError('ARCHIVE_INVALID', `Links without end: ${printable(path)}`)
        const target = readlinkSync(this.host(next), { encoding: 'latin1' })
        if (target.startsWith('/')) at = ''
        todo.push(...target.split('/').reverse())
        continue
      }
      if (!stats?.isDirectory()) {
        if (!make && stats !== undefined) return undefined
        // A missing directory that a later `..` leaves again does no harm: other unpackers read such links too.
        if (!make) {
          at = next
          continue
        }
        this.#make(at, next, stats !== undefined)
      }
      this.#known.add(next)
      at = next
    }
    return at
  }

  /** Makes a missing parent; a file in its place gives way, as in an overlay file system. */
  #make(parent: BytePath, path: BytePath, exists: boolean): void {
    this.#touch(parent, parent)
    if (exists) unlinkSync(this.host(path))
    try {
      mkdirSync(this.host(path), { mode: 0o755 })
    } catch (error) {
      if (systemErrorCode(error) !== 'ENAMETOOLONG') throw error
      throw new BuildError('ARCHIVE_INVALID', `A path too long for this host: ${printable(path)}`, { cause: error })
    }
    this.#events.onImplicit(path)
  }
}
