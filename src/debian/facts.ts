import { createHash, type Hash } from 'node:crypto'
import { packedTogether } from '../core/bytes.ts'
import type { Deb } from './deb.ts'
import { LibraryReader, type LibraryFacts } from './elf.ts'
import { unusualMode, type FolderMode } from './folder-mode.ts'
import { followLinks, linkDestination, cleanMemberPath, SYSTEM_LINKS } from './paths.ts'
import type { TarMember } from '../core/tar-reader.ts'

/** One path of a package. */
export interface ListedPath {
  /** As the package names it, without leading slash; where that is in an image depends on the links there. */
  readonly listed: string
  readonly type: 'file' | 'directory' | 'symlink'
  /** Target of a symbolic link. */
  readonly target?: string | undefined
  readonly library?: LibraryFacts | undefined
  /** Of a folder, when it is not the usual one. */
  readonly mode?: FolderMode | undefined
}

/**
 * What the registration layer must know of a package. It is a function of the package alone, so that it can be kept under
 * the package's digest and holds for every base.
 */
export interface DebFacts {
  readonly package: string
  readonly version: string
  readonly architecture: string
  readonly controlText: string
  /** Scripts, triggers, md5sums, ... by name; without `control`. */
  readonly controlFiles: ReadonlyMap<string, Buffer>
  readonly paths: readonly ListedPath[]
  /** Contents of files that effects are computed from, by listed path. */
  readonly captured: ReadonlyMap<string, Buffer>
  /** MD5 of each configuration file, by listed path. */
  readonly conffiles: readonly { readonly path: string; readonly md5: string }[]
}

/** A member of a package with its place in the image. */
export interface PlacedMember {
  readonly member: TarMember
  readonly path: string
  /** Destination of a hard link in the image; the member's own link name for others. */
  readonly linkPath: string
  /** The member's bytes; reading them feeds the facts. */
  readonly body: AsyncIterable<Uint8Array>
}

/** Files whose contents decide what maintainer scripts would do. */
const CAPTURED = [
  /^usr\/share\/(base-files|base-passwd|pam-configs|pam|debianutils|readline|libc-bin)\//,
  /^usr\/share\/ca-certificates\/.*\.crt$/,
  /^etc\/ld\.so\.conf(\.d\/|$)/,
  /^usr\/lib\/sysusers\.d\/.*\.conf$/,
  /^etc\/(passwd|group|shadow|gshadow|ca-certificates\.conf|shells|nsswitch\.conf)$/,
]
const MAX_CAPTURED_BYTES = 4 << 20
const LIBRARY = /(?:^|\/)(?:lib[^/]*|ld[-0-9][^/]*|ld)\.so(?:\.[^/]*)?$/

/**
 * Walks through a package's content, giving each member its place in the image, and gathers facts on the way.
 *
 * @param members  what `deb.data()` gives
 * @param links  symbolic links to folders that lie below, path -> destination; links of this package are added
 * @param finish  gets the facts when every member has been passed
 * @throws RangeError for paths that leave the image, devices, and hard links to what the package does not have
 */
export async function* placeMembers(
  deb: Deb,
  members: AsyncIterable<TarMember>,
  links: Map<string, string>,
  finish: (facts: DebFacts) => void,
): AsyncGenerator<PlacedMember> {
  const gatherer = new Gatherer(deb)
  for await (const member of members) {
    const listed = cleanMemberPath(member.name)
    if (listed === '') continue
    if (member.type === 'character' || member.type === 'block' || member.type === 'fifo') {
      throw new RangeError(`A device or pipe in a package: ${listed}`)
    }
    const path = followLinks(listed, links)
    if (member.type === 'directory' && links.has(path)) {
      gatherer.listOnly(listed)
      continue
    }
    const linkPath = member.type === 'hardlink' ? followLinks(cleanMemberPath(member.linkName), links) : member.linkName
    if (member.type === 'hardlink' && !gatherer.hasFile(linkPath)) {
      throw new RangeError(`A hard link to a file that the package does not have: ${listed} -> ${linkPath}`)
    }
    if (member.type === 'symlink') {
      if (linkPath === '' || linkPath.length > 4095) throw new RangeError(`A symbolic link without a target: ${listed}`)
      links.set(path, linkDestination(path, linkPath))
    } else {
      links.delete(path)
    }
    const collector = gatherer.collect(member, path, listed)
    yield { member, path, linkPath, body: collector.body }
    await collector.finish()
  }
  finish(gatherer.facts())
}

interface Collector {
  readonly body: AsyncIterable<Uint8Array>
  /** Reads what the consumer left, so that the facts are whole. */
  finish(): Promise<void>
}

class Gatherer {
  readonly #deb: Deb
  readonly #paths: ListedPath[] = []
  readonly #files = new Set<string>()
  readonly #captured = new Map<string, Buffer>()
  readonly #conffiles: ReadonlySet<string>
  readonly #conffileDigests = new Map<string, string>()
  readonly #digests: [string, string][] = []

  constructor(deb: Deb) {
    this.#deb = deb
    this.#conffiles = new Set(parseConffiles(deb.controlFiles.get('conffiles')?.toString('utf8') ?? ''))
  }

  hasFile(path: string): boolean {
    return this.#files.has(path)
  }

  listOnly(listed: string): void {
    this.#paths.push({ listed, type: 'directory' })
  }

  collect(member: TarMember, path: string, listed: string): Collector {
    if (member.type === 'directory' || member.type === 'symlink') {
      const mode = unusualMode(member)
      if (member.type === 'symlink') this.#paths.push({ listed, type: 'symlink', target: member.linkName })
      else this.#paths.push({ listed, type: 'directory', ...(mode === undefined ? {} : { mode }) })
      return { body: member.body, finish: async () => {} }
    }
    this.#files.add(path)
    if (member.type === 'hardlink') {
      this.#paths.push({ listed, type: 'file' })
      return { body: member.body, finish: async () => {} }
    }
    return this.#collectFile(member, listed)
  }

  #collectFile(member: TarMember, listed: string): Collector {
    const hasDigests = this.#deb.controlFiles.has('md5sums')
    const md5: Hash | undefined = this.#conffiles.has(listed) || !hasDigests ? createHash('md5') : undefined
    const library = LIBRARY.test(listed) ? new LibraryReader() : undefined
    const isCaptured = isCapturedPath(listed) && member.sizeBytes <= MAX_CAPTURED_BYTES
    const kept: Buffer[] = []
    const source = member.body[Symbol.asyncIterator]()
    let hasEnded = false
    async function* body(): AsyncGenerator<Uint8Array> {
      for (let next = await source.next(); next.done !== true; next = await source.next()) {
        md5?.update(next.value)
        library?.push(next.value)
        if (isCaptured) kept.push(Buffer.from(next.value))
        yield next.value
      }
      hasEnded = true
    }
    const needsAll = md5 !== undefined || library !== undefined || isCaptured
    return {
      body: { [Symbol.asyncIterator]: body },
      finish: async () => {
        if (needsAll && !hasEnded) for await (const _ of body()) continue
        const facts = library?.finish()
        this.#paths.push({ listed, type: 'file', ...(facts === undefined ? {} : { library: facts }) })
        if (isCaptured) this.#captured.set(listed, Buffer.concat(kept))
        if (md5 === undefined) return
        const digest = md5.digest('hex')
        if (this.#conffiles.has(listed)) this.#conffileDigests.set(listed, digest)
        else this.#digests.push([listed, digest])
      },
    }
  }

  facts(): DebFacts {
    const { control, controlText, controlFiles } = this.#deb
    const files = new Map([...controlFiles].filter(([name]) => name !== 'control'))
    if (!files.has('md5sums') && this.#digests.length > 0) {
      files.set('md5sums', Buffer.from(this.#digests.map(([path, digest]) => `${digest}  ${path}\n`).join('')))
    }
    return {
      package: control.get('package') ?? '',
      version: control.get('version') ?? '',
      architecture: control.get('architecture') ?? '',
      controlText,
      controlFiles: files,
      paths: this.#paths,
      captured: packedTogether(this.#captured),
      conffiles: [...this.#conffiles].flatMap((path) => {
        const md5 = this.#conffileDigests.get(path)
        return md5 === undefined ? [] : [{ path, md5 }]
      }),
    }
  }
}

const SYSTEM_LINK_MAP = new Map(Object.entries(SYSTEM_LINKS))

function isCapturedPath(listed: string): boolean {
  const path = followLinks(listed, SYSTEM_LINK_MAP)
  return CAPTURED.some((pattern) => pattern.test(path))
}

// deb-conffiles(5): a line may start with the flag `remove-on-upgrade`.
function parseConffiles(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('/'))
    .map((line) => cleanMemberPath(line))
}
