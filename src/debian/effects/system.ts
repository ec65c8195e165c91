import { DIVERSIONS_FILE, diverter, parseDiversions } from '../diversions.ts'
import type { DebFacts, ListedPath } from '../facts.ts'
import type { FolderMode } from '../folder-mode.ts'
import { isLeftOut, type LeaveOut } from '../leave-out.ts'
import { followLinks, linkDestination } from '../paths.ts'

/** A file, link or folder that the registration layer brings. */
export type Output =
  | {
      readonly kind: 'file'
      readonly content: Buffer
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }
  | { readonly kind: 'symlink'; readonly target: string }
  | { readonly kind: 'directory'; readonly mode: number; readonly uid: number; readonly gid: number }
  | { readonly kind: 'whiteout' }

/** One path of a package, with its place in the image: links such as `lib -> usr/lib` are followed. */
export interface PathFacts extends ListedPath {
  readonly path: string
}

/** A package whose paths have their places; captured files go by their places, too. */
export interface PlacedPackage extends Omit<DebFacts, 'paths'> {
  readonly paths: readonly PathFacts[]
}

/** Owner and mode of what is written; root's and 0644 (files), 0755 (folders) unless given. */
export interface OutputOptions {
  readonly mode?: number | undefined
  readonly uid?: number | undefined
  readonly gid?: number | undefined
}

/**
 * A file system in the making, as effects see it: the packages that are laid down, what the base has, and what earlier
 * effects have written.
 */
export class System {
  /** Packages that are laid down now, by name. */
  readonly packages: readonly PlacedPackage[]
  readonly architecture: string
  /** Contents of the base's files that effects start from; paths without leading slash. */
  readonly base: ReadonlyMap<string, Buffer>
  readonly #paths = new Map<string, PathFacts & { readonly owner: PlacedPackage }>()
  readonly #outputs = new Map<string, Output>()
  readonly #links: Map<string, string>
  readonly #divert: (path: string, packageName: string) => string

  constructor(
    packages: readonly DebFacts[],
    architecture: string,
    base: ReadonlyMap<string, Buffer>,
    links: ReadonlyMap<string, string>,
    leaveOut: LeaveOut = 'nothing',
  ) {
    this.#links = new Map(links)
    this.#divert = diverter(parseDiversions(base.get(DIVERSIONS_FILE)?.toString('utf8') ?? ''), links)
    const sorted = [...packages].sort((a, b) => (a.package < b.package ? -1 : 1))
    // All links first: where a path lies must not depend on the order of packages.
    for (const { paths, package: name } of sorted) {
      for (const { listed, target } of paths) {
        if (target === undefined) continue
        const path = this.placeOf(listed, name)
        this.#links.set(path, linkDestination(path, target))
      }
    }
    this.packages = sorted.map((facts) => this.#placed(facts, leaveOut))
    this.architecture = architecture
    this.base = base
    for (const owner of this.packages) {
      for (const facts of owner.paths) {
        const known = this.#paths.get(facts.path)
        if (known !== undefined && facts.type === 'directory') continue
        this.#paths.set(facts.path, { ...facts, owner })
      }
    }
  }

  #placed(facts: DebFacts, leaveOut: LeaveOut): PlacedPackage {
    const paths = facts.paths.map((listed) => {
      const isFolder = listed.type === 'directory'
      return { ...listed, path: isFolder ? this.place(listed.listed) : this.placeOf(listed.listed, facts.package) }
    })
    return {
      ...facts,
      paths: paths.filter(({ path }) => !isLeftOut(path, leaveOut)),
      captured: new Map([...facts.captured].map(([path, content]) => [this.place(path), content])),
    }
  }

  /** Where a package's file or link lies: where the base has diverted it to, else at its place. */
  placeOf(listed: string, packageName: string): string {
    return this.#divert(this.place(listed), packageName)
  }

  /** The package of that name which is laid down now. */
  package(name: string): PlacedPackage | undefined {
    return this.packages.find((facts) => facts.package === name)
  }

  /** Paths of the packages that are laid down now. */
  paths(): Iterable<PathFacts> {
    return this.#paths.values()
  }

  /** Mode and owner of a folder that a package brings, when they are not the usual ones. */
  folderMode(path: string): FolderMode | undefined {
    return this.#paths.get(path)?.mode
  }

  /** What a package or an effect has put at a path; symbolic links above it are followed. */
  lookup(path: string): PathFacts | undefined {
    const place = this.place(path)
    const output = this.#outputs.get(place)
    if (output?.kind === 'symlink') return { path: place, listed: place, type: 'symlink', target: output.target }
    if (output?.kind === 'file' || output?.kind === 'directory')
      return { path: place, listed: place, type: output.kind }
    return this.#paths.get(place)
  }

  /** Where a path really lies, links above it followed. */
  place(path: string): string {
    return followLinks(path.replace(/^\/+/, ''), this.#links)
  }

  has(path: string): boolean {
    const place = this.place(path)
    return this.lookup(place) !== undefined || this.base.has(place)
  }

  /** Content of a file that an effect has written, a package brought (if it is one that is captured) or the base has. */
  read(path: string): Buffer | undefined {
    const place = this.place(path)
    const output = this.#outputs.get(place)
    if (output?.kind === 'file') return output.content
    if (output?.kind === 'symlink') return this.read(linkDestination(place, output.target))
    for (const { captured } of this.packages) {
      const content = captured.get(place)
      if (content !== undefined) return content
    }
    return this.base.get(place)
  }

  readText(path: string): string | undefined {
    return this.read(path)?.toString('utf8')
  }

  /** Paths of captured, written and base files that match. */
  *find(pattern: RegExp): Iterable<string> {
    const seen = new Set<string>()
    const sources = [this.#outputs.keys(), this.base.keys(), ...this.packages.map(({ captured }) => captured.keys())]
    for (const keys of sources) {
      for (const path of keys) {
        if (seen.has(path) || !pattern.test(path)) continue
        seen.add(path)
        yield path
      }
    }
  }

  write(path: string, content: string | Buffer, options: OutputOptions = {}): void {
    const { mode = 0o644, uid = 0, gid = 0 } = options
    this.#outputs.set(this.place(path), { kind: 'file', content: Buffer.from(content), mode, uid, gid })
  }

  link(path: string, target: string): void {
    this.#outputs.set(this.place(path), { kind: 'symlink', target })
  }

  folder(path: string, options: OutputOptions = {}): void {
    const { mode = 0o755, uid = 0, gid = 0 } = options
    this.#outputs.set(this.place(path), { kind: 'directory', mode, uid, gid })
  }

  remove(path: string): void {
    this.#outputs.set(this.place(path), { kind: 'whiteout' })
  }

  outputs(): ReadonlyMap<string, Output> {
    return this.#outputs
  }
}

/** Computes what some maintainer scripts would have done; does nothing when their packages are not there. */
export type Effect = (system: System) => void
