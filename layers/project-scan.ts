import { lstatSync, readdirSync, type Dirent, type Stats } from 'node:fs'
import { lstat, readlink, realpath } from 'node:fs/promises'
import { posix, relative, sep } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { BuildError, systemErrorCode } from '../src/core/errors.ts'
import type { IgnoreRules } from './docker-ignore.ts'
import {
  HASH_BYTES,
  isSameStamp,
  isSettled,
  KIND,
  STAMP_LENGTH,
  writeStamp,
  type KnownFolder,
  type ProjectIndex,
} from './project-index.ts'
import { SLICE, visitEntries } from './project-visit.ts'

/** A folder as it is now. */
export interface ScannedFolder extends KnownFolder {
  /** Whether the rules leave it in. */
  readonly isKept: boolean
  /** For each name, whether its file was not touched since it was hashed. */
  readonly isKnown: Uint8Array
}

/** What a project folder holds, before anything is read. */
export interface ProjectScan {
  readonly folders: readonly ScannedFolder[]
  /** Where the links lead, by path. */
  readonly links: ReadonlyMap<string, string>
  /** What cannot be in an image. */
  readonly problems: readonly string[]
  /** Whether all is as it was when it was remembered. */
  readonly isUntouched: boolean
  /** Whether something can be remembered that was not. */
  readonly isNew: boolean
}

/** What a scan goes by. */
export interface ScanOptions {
  readonly root: string
  readonly rules: IgnoreRules
  /** Of the same rules. */
  readonly index: ProjectIndex | undefined
  readonly now: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Looks at every folder and file of a project. Of folders that were not touched, the rules need not be asked again.
 *
 * @throws BuildError FILE_UNREADABLE
 */
export async function scanProject(options: ScanOptions): Promise<ProjectScan> {
  const { index } = options
  const isUntouched = index !== undefined
  const walk: Walk = { ...options, folders: [], links: new Map(), problems: [], isUntouched, isNew: false }
  await walkFolders(walk)
  if (walk.problems.length === 0) await stampFiles(walk)
  return { ...walk, isUntouched: walk.isUntouched && walk.folders.length === index?.folders.size }
}

interface Walk extends ScanOptions {
  readonly folders: ScannedFolder[]
  readonly links: Map<string, string>
  readonly problems: string[]
  isUntouched: boolean
  isNew: boolean
}

/** A stack and no recursion: folders may be nested deeper than the call stack. */
async function walkFolders(walk: Walk): Promise<void> {
  const waiting = [{ path: '', isKept: true }]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    walk.signal?.throwIfAborted()
    const { path } = next
    const folder = { ...next, ...readFolder(path, walk) }
    walk.folders.push(folder)
    for (const [n, name] of folder.names.entries()) {
      const kind = folder.kinds[n]
      if (kind === KIND.folder || kind === KIND.passed)
        waiting.push({ path: pathOf(path, name), isKept: kind === KIND.folder })
      else if (kind === KIND.link) await checkLink(pathOf(path, name), walk)
    }
    // Others have their turn.
    if (walk.folders.length % SLICE === 0) await setImmediate()
  }
}

function readFolder(path: string, walk: Walk): Omit<ScannedFolder, 'isKept'> {
  const { root, now, index } = walk
  const place = placeOf(root, path)
  const known = index?.folders.get(path)
  try {
    const stamp = new Float64Array(STAMP_LENGTH)
    // Before it is read: what changes meanwhile is seen the next time.
    writeStamp(stamp, 0, lstatSync(place), now)
    const isSame =
      known !== undefined && isSameStamp(stamp, known.stamp) && isSameList(readdirSync(place).sort(), known)
    if (!isSame) walk.isUntouched = false
    if (!isSame && isSettled(stamp)) walk.isNew = true
    const { names, kinds } = isSame ? known : sortEntries(readdirSync(place, { withFileTypes: true }), path, walk)
    return {
      path,
      stamp,
      names,
      kinds,
      stamps: new Float64Array(names.length * STAMP_LENGTH),
      hashes: new Uint8Array(names.length * HASH_BYTES),
      isKnown: new Uint8Array(names.length),
    }
  } catch (cause) {
    throw new BuildError('FILE_UNREADABLE', `Cannot read a folder of the project: \`${path || '.'}\``, { cause })
  }
}

function isSameList(names: readonly string[], known: KnownFolder): boolean {
  return names.length === known.names.length && names.every((name, n) => name === known.names[n])
}

function sortEntries(
  entries: Dirent[],
  folder: string,
  { rules, problems }: Walk,
): Pick<KnownFolder, 'names' | 'kinds'> {
  entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  const isIgnored = rules.inFolder(folder)
  const kinds = Uint8Array.from(entries, (entry) => {
    const path = pathOf(folder, entry.name)
    if (!isIgnored(path)) return kindOf(entry, path, problems)
    // What a `!` rule brings back from an ignored folder brings the folder with it.
    return entry.isDirectory() && !rules.isSealed(path) ? KIND.passed : KIND.ignored
  })
  return { names: entries.map(({ name }) => name), kinds }
}

function kindOf(entry: Dirent, path: string, problems: string[]): number {
  if (entry.isDirectory()) return KIND.folder
  if (entry.name.includes('\uFFFD')) problems.push(`\`${path}\` has a name that is not UTF-8`)
  else if (entry.name.startsWith('.wh.')) problems.push(`\`${path}\` has a name that means "deleted" in an image layer`)
  else if (entry.isFile()) return KIND.file
  else if (entry.isSymbolicLink()) return KIND.link
  else problems.push(`\`${path}\` is a ${entry.isSocket() ? 'socket' : entry.isFIFO() ? 'named pipe' : 'device'}`)
  return KIND.ignored
}

/** Where a link leads may change without it: it is looked at each time. */
async function checkLink(path: string, { root, links, problems }: Walk): Promise<void> {
  const link = (await readlink(placeOf(root, path))).split(sep).join('/')
  if (await isInside(root, path, link)) links.set(path, link)
  else problems.push(`\`${path}\` is a link that leaves the project: ${link}`)
}

/** By its text, and by where it leads on this machine if it leads anywhere: folders on its way may be links too. */
async function isInside(root: string, path: string, link: string): Promise<boolean> {
  const target = posix.normalize(posix.join(posix.dirname(path), link))
  if (posix.isAbsolute(link) || target === '..' || target.startsWith('../')) return false
  try {
    const real = relative(root, await realpath(placeOf(root, path)))
    return real !== '..' && !real.startsWith(`..${sep}`)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return true
    if (systemErrorCode(error) === 'ELOOP') return true
    throw error
  }
}

function stampFiles(walk: Walk): Promise<void> {
  const isWanted = ({ kinds }: ScannedFolder, n: number): boolean => kinds[n] === KIND.file || kinds[n] === KIND.link
  const visitor = (folder: ScannedFolder) => {
    const stamp = stamper(folder, walk)
    return (n: number, name: string, isQuick: boolean) => {
      const path = pathOf(folder.path, name)
      const place = placeOf(walk.root, path)
      if (!isQuick) return async () => stamp(n, await lookLater(place, path))
      stamp(n, lookAt(place, path))
      return undefined
    }
  }
  return visitEntries(walk.folders, isWanted, visitor, walk.signal)
}

/** Keeps what an entry of a folder is like, and its hash where that is still true. */
function stamper(folder: ScannedFolder, walk: Walk): (n: number, stats: Stats) => void {
  const known = walk.index?.folders.get(folder.path)
  const isSame = known?.names === folder.names
  const places = known === undefined || isSame ? undefined : new Map(known.names.map((name, n) => [name, n]))
  return (n, stats) => {
    const at = n * STAMP_LENGTH
    writeStamp(folder.stamps, at, stats, walk.now)
    const old = isSame ? n : places?.get(folder.names[n] ?? '')
    const isKnown =
      known !== undefined &&
      old !== undefined &&
      known.kinds[old] === folder.kinds[n] &&
      isSameStamp(folder.stamps, known.stamps, at, old * STAMP_LENGTH)
    if (isKnown) {
      folder.isKnown[n] = 1
      folder.hashes.set(known.hashes.subarray(old * HASH_BYTES, (old + 1) * HASH_BYTES), n * HASH_BYTES)
      return
    }
    walk.isUntouched = false
    if (isSettled(folder.stamps, at)) walk.isNew = true
  }
}

function lookAt(place: string, path: string): Stats {
  try {
    return lstatSync(place)
  } catch (error) {
    throw explainUnreadable(error, path)
  }
}

async function lookLater(place: string, path: string): Promise<Stats> {
  try {
    return await lstat(place)
  } catch (error) {
    throw explainUnreadable(error, path)
  }
}

/** What a file of a project that cannot be read is told as; other errors stay what they are. */
export function explainUnreadable(error: unknown, path: string): unknown {
  if (systemErrorCode(error) === undefined) return error
  return new BuildError('FILE_UNREADABLE', `Cannot read a file of the project: \`${path}\``, {
    hint: 'Make it readable, or list it in .dockerignore.',
    cause: error,
  })
}

/** Relative to the project, from a folder that is. */
export function pathOf(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`
}

/** Absolute, from a path that is relative to the project. */
export function placeOf(root: string, path: string): string {
  return path === '' ? root : `${root}/${path}`
}
