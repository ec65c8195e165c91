import { collect } from '../core/bytes.ts'
import { BASE_FILES, BASE_KEYRING, BASE_LISTS, packBaseFiles } from './base-files.ts'
import { linkDestination, SYSTEM_LINKS } from './paths.ts'
import { unusualMode, type FolderMode } from './folder-mode.ts'
import type { TarMember } from '../core/tar-reader.ts'

/** What an existing base tells to packages that are laid on top of it. Plain JSON. */
export interface BaseSystem {
  /** Its files that registration builds on; see `packBaseFiles`. */
  readonly files: string
  /** Links to folders beside the usual ones, path -> destination. */
  readonly links: Readonly<Record<string, string>>
  /** Folders whose mode or owner is not the usual one (0755, root), by path. */
  readonly keptFolders: Readonly<Record<string, FolderMode>>
}

/** A scan as it is kept. */
export interface PackedScan {
  /** Content in base64 by path. */
  readonly files: Readonly<Record<string, string>>
  readonly links: Readonly<Record<string, string>>
  readonly keptFolders: Readonly<Record<string, FolderMode>>
}

/** What is looked at of a member of a layer. */
export type BaseMember = Pick<TarMember, 'name' | 'type' | 'linkName' | 'mode' | 'uid' | 'gid' | 'body'>

const MAX_FILE_BYTES = 64 << 20

/**
 * Learns from a base's layers what laying packages on it needs. Layers are shown from the top down: what an upper one has
 * or removes counts for those below.
 *
 * @example for (const layer of topDown) { for await (const m of readTar(layer)) await scan.visit(m); scan.endLayer() }
 */
export class BaseSystemScan {
  readonly #files = new Map<string, Buffer>()
  readonly #seen = new Set<string>()
  readonly #links = new Map<string, string>()
  readonly #folders = new Set<string>()
  readonly #keptFolders = new Map<string, FolderMode>()
  readonly #removed = new Set<string>()
  #removedHere: string[] = []

  /** A scan that is done, as {@link pack} gave it. */
  static unpack({ files, links, keptFolders }: PackedScan): BaseSystemScan {
    const scan = new BaseSystemScan()
    for (const [path, content] of Object.entries(files)) scan.#files.set(path, Buffer.from(content, 'base64'))
    for (const [path, to] of Object.entries(links)) scan.#links.set(path, to)
    // Only links that lead to folders were packed.
    for (const to of Object.values(links)) scan.#folders.add(to)
    for (const [path, mode] of Object.entries(keptFolders)) scan.#keptFolders.set(path, mode)
    return scan
  }

  /** What was learned, when all layers were seen. Plain JSON. */
  pack(): PackedScan {
    return {
      files: Object.fromEntries([...this.#files].map(([path, content]) => [path, content.toString('base64')])),
      links: Object.fromEntries(this.#folderLinks()),
      keptFolders: Object.fromEntries(this.#keptFolders),
    }
  }

  /** Looks at one member; reads its body when it is one of the files that matter. */
  async visit(member: BaseMember): Promise<void> {
    const path = member.name.replace(/^(?:\.?\/)+/, '').replace(/\/+$/, '')
    const slash = path.lastIndexOf('/')
    const name = path.slice(slash + 1)
    if (name === '.wh..wh..opq') this.#removedHere.push(path.slice(0, Math.max(slash, 0)))
    else if (name.startsWith('.wh.')) this.#removedHere.push(path.slice(0, slash + 1) + name.slice('.wh.'.length))
    if (name.startsWith('.wh.') || path === '' || this.#seen.has(path) || this.#isRemoved(path)) return
    this.#seen.add(path)
    if (member.type === 'directory') {
      this.#folders.add(path)
      const mode = unusualMode(member)
      if (mode !== undefined) this.#keptFolders.set(path, mode)
    } else if (member.type === 'symlink') {
      this.#links.set(path, linkDestination(path, member.linkName))
    } else if (member.type === 'file' && isSystemFile(path)) {
      this.#files.set(path, await collect(member.body, MAX_FILE_BYTES))
    }
  }

  /** Tells that the next members belong to the layer below. */
  endLayer(): void {
    for (const path of this.#removedHere) this.#removed.add(path)
    this.#removedHere = []
  }

  /** Content of one of the files that matter. */
  read(path: string): Buffer | undefined {
    return this.#files.get(path)
  }

  /** Keys by which the base's own apt proves its distribution's archive, in order of their paths. */
  keyring(): Buffer[] {
    const found = [...this.#files].filter(([path]) => BASE_KEYRING.test(path))
    return found.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, content]) => content)
  }

  /**
   * What was learned.
   *
   * @param upgraded  packages whose files will be replaced; the lists of the others are left out
   */
  system(upgraded: ReadonlySet<string>): BaseSystem {
    const files = new Map(
      [...this.#files].filter(([path]) => {
        if (BASE_KEYRING.test(path)) return false
        const name = /([^/]+)\.list$/.exec(path)?.[1]?.replace(/:.*/, '')
        return !BASE_LISTS.test(path) || (name !== undefined && upgraded.has(name))
      }),
    )
    return {
      files: packBaseFiles(files),
      links: Object.fromEntries(this.#folderLinks().sort(([a], [b]) => (a < b ? -1 : 1))),
      keptFolders: Object.fromEntries([...this.#keptFolders].sort(([a], [b]) => (a < b ? -1 : 1))),
    }
  }

  /** Links to folders beside the usual ones. */
  #folderLinks(): [path: string, to: string][] {
    return [...this.#links].filter(([path, to]) => {
      return this.#leadsToFolder(to) && !path.startsWith('usr/share/doc/') && SYSTEM_LINKS[path] !== to
    })
  }

  #leadsToFolder(path: string): boolean {
    let current = path
    for (let hops = 0; hops < 40; hops++) {
      if (this.#folders.has(current)) return true
      const next = this.#links.get(current)
      if (next === undefined) return false
      current = next
    }
    return false
  }

  #isRemoved(path: string): boolean {
    if (this.#removed.size === 0) return false
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      if (this.#removed.has(path.slice(0, end))) return true
    }
    return false
  }
}

/** Whether the content of a file matters to a {@link BaseSystemScan}. @param path relative */
export function isSystemFile(path: string): boolean {
  return BASE_LISTS.test(path) || BASE_KEYRING.test(path) || BASE_FILES.some((pattern) => pattern.test(path))
}
