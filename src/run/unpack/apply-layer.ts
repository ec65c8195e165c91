import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  utimesSync,
  writeSync,
  type Stats,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { BuildError, systemErrorCode } from '../../core/errors.ts'
import { markDeleted } from './overlay-marks.ts'
import { removeTree } from './remove-tree.ts'
import { cleanPath, Root } from './root.ts'
import { printable, readEntries, type BytePath, type TarEntry } from './tar-entries.ts'
import { DependentLayerError } from './dependent-layer.ts'

/** How a layer is applied. */
export interface ApplyOptions {
  /** Give files the owners of the archive; otherwise they stay the caller's. Needs root. */
  readonly keepOwners: boolean
  /**
   * The folder holds nothing yet and is to hold this layer alone, for an overlay: what it deletes is marked as overlays
   * do. A layer that means something only on top of others is given up with {@link DependentLayerError}.
   */
  readonly alone: boolean
  /** Stops a layer with more entries than this. */
  readonly maxEntries: number
  /** Tells what could not be laid down faithfully, one sentence each. */
  readonly note?: ((text: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** What a layer brought. */
export interface ApplyResult {
  readonly entries: number
  /** Bytes of file contents. */
  readonly sizeBytes: number
  /** Directories, one character a byte, in which a layer that stands alone deletes something. */
  readonly deletesIn: readonly BytePath[]
}

/**
 * Applies the entries of a layer's tar to a folder, never outside of it.
 *
 * Links in parents are followed inside the folder, as in a chroot; the last part is never followed. Whiteouts delete
 * what lower layers brought, not what this layer brings. Device nodes are left out: a container gets its own `/dev`.
 *
 * @param tar the uncompressed bytes; hashes are the caller's business
 * @throws BuildError ARCHIVE_INVALID, DISK_FULL; DependentLayerError
 * @see OCI image-spec, layer.md, "Applying Changesets" and "Whiteouts"
 */
export async function applyLayer(
  folder: string,
  tar: AsyncIterable<Uint8Array>,
  options: ApplyOptions,
): Promise<ApplyResult> {
  const applier = new Applier(folder, options)
  try {
    for await (const entry of readEntries(tar)) {
      options.signal?.throwIfAborted()
      await applier.apply(entry)
    }
    applier.finish()
  } catch (error) {
    if (systemErrorCode(error) === 'ENOSPC' || systemErrorCode(error) === 'EDQUOT') {
      throw new BuildError('DISK_FULL', `No space left to unpack a layer: ${folder}`, {
        hint: 'Free some space, or choose another place with LAYERWRIGHT_CACHE.',
        cause: error,
      })
    }
    throw error
  }
  return { entries: applier.entries, sizeBytes: applier.sizeBytes, deletesIn: applier.deletesIn() }
}

const WHITEOUT = '.wh.'
const OPAQUE = '.wh..wh..opq'

class Applier {
  entries = 0
  sizeBytes = 0
  readonly #options: ApplyOptions
  readonly #root: Root
  /** What this layer brought: whiteouts spare it. */
  readonly #own = new Set<BytePath>()
  /** Final attributes of directories, set when nothing more is written into them. */
  readonly #directories = new Map<BytePath, { mode: number; mtimeSeconds: number; atimeSeconds: number }>()
  #devices = 0
  /** What a layer that stands alone deletes. */
  readonly #deleted = new Set<BytePath>()
  readonly #xattrs = new Set<string>()

  constructor(folder: string, options: ApplyOptions) {
    this.#options = options
    this.#root = new Root(folder, {
      onImplicit: (directory) => this.#dependsIf(true, `the parent ${printable(directory)} is missing`),
      onTouch: (directory, stats) => this.#remember(directory, stats),
    })
  }

  async apply(entry: TarEntry): Promise<void> {
    if (++this.entries > this.#options.maxEntries) {
      throw new BuildError('ARCHIVE_INVALID', `The layer has more than ${this.#options.maxEntries} entries`)
    }
    const path = cleanPath(entry.path)
    const name = path.slice(path.lastIndexOf('/') + 1)
    if (path === '') return this.#applyRoot(entry)
    if (name.startsWith(WHITEOUT)) return this.#applyWhiteout(path, name)
    // The top of the tree may not be a link or a file: /proc, /dev and /sys are mounted over it.
    const place = this.#root.place(path)
    this.#clear(place, entry.kind)
    await this.#create(place, entry)
    this.#own.add(place)
  }

  deletesIn(): BytePath[] {
    return [...new Set([...this.#deleted].map(parentOf))]
  }

  /** Marks deletions, sets modes and times of directories, deepest first, and tells what was left out. */
  finish(): void {
    this.#markDeleted()
    const paths = [...this.#directories].sort(([a], [b]) => b.length - a.length)
    for (const [path, { mode, mtimeSeconds, atimeSeconds }] of paths) {
      if (!this.#root.stat(path)?.isDirectory()) continue
      utimesSync(this.#root.host(path), atimeSeconds, mtimeSeconds)
      chmodSync(this.#root.host(path), mode)
    }
    const { note } = this.#options
    if (this.#devices > 0) note?.(`${this.#devices} device nodes of a layer were left out`)
    if (this.#xattrs.size > 0) {
      note?.(`Extended attributes of a layer were not set: ${[...this.#xattrs].sort().join(', ')}`)
    }
  }

  #applyRoot(entry: TarEntry): void {
    // Anything but a directory cannot stand for the root; other unpackers pass over it too.
    if (entry.kind !== 'directory') return
    this.#directories.set('', directoryAttributes(entry))
  }

  async #create(place: BytePath, entry: TarEntry): Promise<void> {
    const host = this.#root.host(place)
    for (const name of Object.keys(entry.xattrs)) this.#xattrs.add(name)
    switch (entry.kind) {
      case 'file':
        return this.#createFile(host, entry)
      case 'directory':
        if (this.#root.stat(place) === undefined) mkdirSync(host, { mode: 0o700 })
        else chmodSync(host, 0o700 | entry.mode)
        if (this.#options.keepOwners) lchownSync(host, entry.uid, entry.gid)
        this.#root.isDirectory(place)
        return void this.#directories.set(place, directoryAttributes(entry))
      case 'symlink':
        if (entry.target === '') throw invalid('A symbolic link without a target', entry)
        symlinkSync(Buffer.from(entry.target, 'latin1'), host)
        if (this.#options.keepOwners) lchownSync(host, entry.uid, entry.gid)
        return lutimesSync(host, entry.mtimeSeconds, entry.mtimeSeconds)
      case 'hardlink':
        return this.#createHardlink(host, entry)
      case 'fifo':
        // Node has no mkfifo; named pipes in images are rare enough for a process each.
        execFileSync('mkfifo', ['-m', entry.mode.toString(8), host.toString()])
        if (this.#options.keepOwners) lchownSync(host, entry.uid, entry.gid)
        return
      case 'device':
        this.#devices++
    }
  }

  async #createFile(host: Buffer, entry: TarEntry): Promise<void> {
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants
    const file = openSync(host, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o600)
    try {
      for await (const chunk of entry.body) {
        for (let at = 0; at < chunk.length;) at += writeSync(file, chunk, at)
        this.sizeBytes += chunk.length
      }
      // Changing the owner drops setuid, so the mode comes after it.
      if (this.#options.keepOwners) fchownSync(file, entry.uid, entry.gid)
      fchmodSync(file, entry.mode)
      futimesSync(file, entry.mtimeSeconds, entry.mtimeSeconds)
    } finally {
      closeSync(file)
    }
  }

  #createHardlink(host: Buffer, entry: TarEntry): void {
    const target = this.#root.find(cleanPath(entry.target))
    this.#dependsIf(target === undefined || !this.#own.has(target), `the link target ${printable(entry.target)}`)
    const stats = target === undefined || target === '' ? undefined : this.#root.stat(target)
    if (target === undefined || stats === undefined) {
      throw invalid(`A hard link to ${printable(entry.target)}, which does not exist`, entry)
    }
    if (stats.isDirectory()) throw invalid(`A hard link to the directory ${printable(entry.target)}`, entry)
    linkSync(this.#root.host(target), host)
  }

  #applyWhiteout(path: BytePath, name: string): void {
    const directory = path.slice(0, Math.max(path.length - name.length - 1, 0))
    if (name === OPAQUE) {
      this.#dependsIf(true, 'it has opaque directories')
      const place = this.#root.findDirectory(directory)
      if (place !== undefined) this.#removeLower(place)
      return
    }
    // Other names of this form belong to AUFS itself (.wh..wh.plnk, .wh..wh.aufs).
    if (name.startsWith(WHITEOUT + WHITEOUT)) return
    const hidden = name.slice(WHITEOUT.length)
    if (hidden === '' || hidden === '.' || hidden === '..') {
      throw new BuildError('ARCHIVE_INVALID', `A whiteout of no file: ${printable(path)}`)
    }
    const place = this.#root.find(directory === '' ? hidden : `${directory}/${hidden}`)
    if (this.#options.alone) {
      this.#dependsIf(place === undefined, `it deletes in ${printable(directory)}, which it does not bring`)
      if (place !== undefined) this.#deleted.add(place)
      return
    }
    const stats = place === undefined ? undefined : this.#root.stat(place)
    if (place === undefined || stats === undefined) return
    if (this.#own.has(place)) return stats.isDirectory() ? this.#removeLower(place) : undefined
    this.#touchParent(place)
    this.#remove(place)
  }

  #markDeleted(): void {
    for (const place of this.#deleted) {
      if (!this.#own.has(place)) continue
      // A directory in the place of a deleted one shows nothing of that; a file hides it anyway.
      this.#dependsIf(this.#root.stat(place)?.isDirectory() === true, `it replaces the directory ${printable(place)}`)
      this.#deleted.delete(place)
    }
    for (const place of this.#deleted) this.#touchParent(place)
    markDeleted([...this.#deleted].map((place) => this.#root.host(place)))
  }

  /** Removes what lies in a directory, but for what this layer brought. */
  #removeLower(directory: BytePath): void {
    this.#root.touch(directory)
    for (const name of this.#root.list(directory)) {
      const path = directory === '' ? name : `${directory}/${name}`
      if (!this.#holdsOwn(path)) this.#remove(path)
      else if (this.#root.stat(path)?.isDirectory()) this.#removeLower(path)
    }
  }

  #holdsOwn(path: BytePath): boolean {
    if (this.#own.has(path)) return true
    for (const own of this.#own) if (own.startsWith(`${path}/`)) return true
    return false
  }

  /** Makes room for an entry; a directory stays where a directory comes. */
  #clear(place: BytePath, kind: TarEntry['kind']): void {
    const stats = this.#root.stat(place)
    if (stats === undefined || (stats.isDirectory() && kind === 'directory')) return
    this.#remove(place)
  }

  #remove(place: BytePath): void {
    const wasDirectory = this.#root.stat(place)?.isDirectory() === true
    removeTree(this.#root.host(place))
    if (wasDirectory) this.#root.forget()
  }

  #touchParent(place: BytePath): void {
    this.#root.touch(parentOf(place))
  }

  #remember(directory: BytePath, stats: Stats): void {
    if (this.#directories.has(directory)) return
    const { mode, mtimeMs, atimeMs } = stats
    this.#directories.set(directory, {
      mode: mode & 0o7777,
      mtimeSeconds: mtimeMs / 1000,
      atimeSeconds: atimeMs / 1000,
    })
    // Only root may write into a directory without permissions.
    if ((mode & 0o700) !== 0o700) chmodSync(this.#root.host(directory), (mode & 0o7777) | 0o700)
  }

  #dependsIf(depends: boolean, why: string): void {
    if (depends && this.#options.alone) throw new DependentLayerError(`The layer cannot stand alone: ${why}`)
  }
}

function parentOf(place: BytePath): BytePath {
  return place.slice(0, Math.max(place.lastIndexOf('/'), 0))
}

function directoryAttributes(entry: TarEntry): { mode: number; mtimeSeconds: number; atimeSeconds: number } {
  return { mode: entry.mode, mtimeSeconds: entry.mtimeSeconds, atimeSeconds: entry.mtimeSeconds }
}

function invalid(what: string, entry: TarEntry): BuildError {
  return new BuildError('ARCHIVE_INVALID', `${what}: ${printable(entry.path)}`)
}
