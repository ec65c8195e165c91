import type { Dirent } from 'node:fs'
import { readdir, readFile, readlink, realpath } from 'node:fs/promises'
import { join, posix, relative, resolve, sep } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import pLimit from 'p-limit'
import type { Cache } from '../src/core/cache.ts'
import { BuildError, systemErrorCode } from '../src/core/errors.ts'
import { hashFile, hashSmallFile } from '../src/core/hash-file.ts'
import { HashMemory } from '../src/core/hash-memory.ts'
import { parseDockerIgnore, type IgnoreRules } from './docker-ignore.ts'
import { comparePaths } from './paths.ts'
import type { ListedFile } from './project-files.ts'

/** How a project is read. */
export interface ProjectOptions {
  /** Files of at least this size are weights; 10 MiB unless given. */
  readonly weightBytes?: number | undefined
  /** Patterns of `.dockerignore` form that are left out before its own rules are read. */
  readonly exclude?: readonly string[] | undefined
  /** Remembers the hashes of files by place, size, times and inode. */
  readonly hashes?: Cache | undefined
  readonly signal?: AbortSignal | undefined
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined
}

/** What a project folder holds, as layers see it. Sorted by path. */
export interface Project {
  readonly code: readonly ListedFile[]
  readonly weights: readonly ListedFile[]
  /** Files that look like secrets and will be in the image. */
  readonly suspects: readonly string[]
}

/** Cog's own folder of temporary files; the lock file, which learns of the image that it would be part of. */
const BUILT_IN = ['.cog', 'layerwright.lock']
const DEFAULT_WEIGHT_BYTES = 10 * 2 ** 20
const OPEN_FILES = 16
/** Files that are hashed in a row, and the milliseconds in which that is quick. */
const SLICE = 64

/**
 * Reads a project folder: what `.dockerignore` leaves in, by content.
 *
 * Links are kept as links and must stay inside; nothing else but files and folders can be in an image.
 *
 * @throws BuildError PROJECT_INVALID naming every link, socket, pipe or device that cannot be packed
 */
export async function readProject(folder: string, options: ProjectOptions = {}): Promise<Project> {
  const root = await realFolder(folder)
  const rules = parseDockerIgnore(await readIgnoreFile(root), [...BUILT_IN, ...(options.exclude ?? [])])
  const found: Found[] = []
  const problems: string[] = []
  await walk({ root, rules, found, problems, signal: options.signal })
  if (problems.length > 0) throw refuse(problems, found)
  const files = await listAll(root, found, options)
  files.sort((a, b) => comparePaths(a.path, b.path))
  const weightBytes = options.weightBytes ?? DEFAULT_WEIGHT_BYTES
  const isWeight = (file: ListedFile): boolean => 'sizeBytes' in file && file.sizeBytes >= weightBytes
  return {
    code: files.filter((file) => !isWeight(file)),
    weights: files.filter(isWeight),
    suspects: files.map(({ path }) => path).filter((path) => SUSPECT.test(path)),
  }
}

/** Names under which secrets usually lie. */
const SUSPECT =
  /(?:^|\/)(?:\.env(?:\.[^/]*)?|\.netrc|_netrc|\.npmrc|\.pypirc|\.git-credentials|id_(?:rsa|dsa|ecdsa|ed25519)|[^/]*\.pem|credentials\.json|\.aws\/credentials|\.docker\/config\.json|\.kube\/config)$/

type Found =
  | { readonly path: string; readonly link: string }
  | { readonly path: string; readonly directory: true }
  | { readonly path: string; readonly file: true }

interface Walk {
  readonly root: string
  readonly rules: IgnoreRules
  readonly found: Found[]
  readonly problems: string[]
  readonly signal: AbortSignal | undefined
}

/** A stack and no recursion: folders may be nested deeper than the call stack. */
async function walk(state: Walk): Promise<void> {
  const { root, rules, found, signal } = state
  const folders = ['']
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal?.throwIfAborted()
    let kept = 0
    for (const entry of await readFolder(join(root, folder), folder)) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      const isIgnored = rules.isIgnored(path)
      if (entry.isDirectory()) {
        // What a `!` rule brings back from an ignored folder brings the folder with it.
        if (!isIgnored) kept++
        if (!isIgnored || !rules.isSealed(path)) folders.push(path)
      } else if (!isIgnored) {
        kept++
        await visit(entry, path, state)
      }
    }
    if (kept === 0 && folder !== '' && !rules.isIgnored(folder)) found.push({ path: folder, directory: true })
  }
}

async function visit(entry: Dirent, path: string, { root, found, problems }: Walk): Promise<void> {
  if (entry.name.includes('\uFFFD')) problems.push(`\`${path}\` has a name that is not UTF-8`)
  else if (entry.name.startsWith('.wh.')) problems.push(`\`${path}\` has a name that means "deleted" in an image layer`)
  else if (entry.isFile()) found.push({ path, file: true })
  else if (entry.isSymbolicLink()) {
    const link = (await readlink(join(root, path))).split(sep).join('/')
    if (await isInside(root, path, link)) found.push({ path, link })
    else problems.push(`\`${path}\` is a link that leaves the project: ${link}`)
  } else problems.push(`\`${path}\` is a ${kindOf(entry)}`)
}

/** By its text, and by where it leads on this machine if it leads anywhere: folders on its way may be links too. */
async function isInside(root: string, path: string, link: string): Promise<boolean> {
  const target = posix.normalize(posix.join(posix.dirname(path), link))
  if (posix.isAbsolute(link) || target === '..' || target.startsWith('../')) return false
  try {
    const real = relative(root, await realpath(join(root, path)))
    return real !== '..' && !real.startsWith(`..${sep}`)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return true
    if (systemErrorCode(error) === 'ELOOP') return true
    throw error
  }
}

function kindOf(entry: Dirent): string {
  if (entry.isSocket()) return 'socket'
  if (entry.isFIFO()) return 'named pipe'
  return 'device'
}

/** Small files are hashed one after the other, as long as that is quick: on a slow disk, many at once are quicker. */
async function listAll(root: string, found: readonly Found[], options: ProjectOptions): Promise<ListedFile[]> {
  const { hashes, now } = options
  const memory = hashes === undefined ? undefined : await HashMemory.load(hashes, root, now)
  const limit = pLimit(OPEN_FILES)
  const files: ListedFile[] = []
  const rest: Found[] = []
  let isQuick = true
  for (let done = 0; done < found.length; done += SLICE) {
    options.signal?.throwIfAborted()
    const began = performance.now()
    for (const file of found.slice(done, done + SLICE)) {
      const listed = isQuick ? listSmall(root, file, memory) : undefined
      if (listed === undefined) rest.push(file)
      else files.push(listed)
    }
    isQuick &&= performance.now() - began < SLICE
    // Others have their turn.
    if (done + SLICE < found.length) await setImmediate()
  }
  files.push(...(await Promise.all(rest.map((file) => limit(() => list(root, file, options))))))
  await memory?.save()
  return files
}

function listSmall(root: string, file: Found, memory: HashMemory | undefined): ListedFile | undefined {
  if (!('file' in file)) return file
  try {
    const hashed = hashSmallFile(join(root, file.path), memory)
    return hashed === undefined ? undefined : { path: file.path, ...hashed }
  } catch (error) {
    throw explain(error, file.path)
  }
}

async function list(root: string, file: Found, options: ProjectOptions): Promise<ListedFile> {
  if (!('file' in file)) return file
  options.signal?.throwIfAborted()
  try {
    const { hashes, weightBytes: largeBytes, signal, now } = options
    return { path: file.path, ...(await hashFile(join(root, file.path), { hashes, largeBytes, signal, now })) }
  } catch (error) {
    throw explain(error, file.path)
  }
}

function explain(error: unknown, path: string): unknown {
  if (systemErrorCode(error) === undefined) return error
  return new BuildError('FILE_UNREADABLE', `Cannot read a file of the project: \`${path}\``, {
    hint: 'Make it readable, or list it in .dockerignore.',
    cause: error,
  })
}

async function readFolder(path: string, name: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true })
  } catch (error) {
    throw new BuildError('FILE_UNREADABLE', `Cannot read a folder of the project: \`${name || '.'}\``, { cause: error })
  }
}

async function realFolder(folder: string): Promise<string> {
  const root = await realpath(resolve(folder)).catch((cause: unknown) => {
    throw new BuildError('FILE_UNREADABLE', `Cannot read the project folder: \`${folder}\``, { cause })
  })
  if (root !== resolve('/')) return root
  throw new BuildError('PROJECT_INVALID', 'The root of this machine is no project', {
    hint: 'Run the command in the folder of the project.',
  })
}

async function readIgnoreFile(root: string): Promise<string> {
  try {
    return await readFile(join(root, '.dockerignore'), 'utf8')
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return ''
    throw new BuildError('FILE_UNREADABLE', 'Cannot read the .dockerignore of the project', { cause: error })
  }
}

function refuse(problems: readonly string[], found: readonly Found[]): BuildError {
  const shown = problems.slice(0, 10)
  const more = problems.length > shown.length ? `, and ${problems.length - shown.length} more` : ''
  return new BuildError(
    'PROJECT_INVALID',
    `The project has files that cannot be in an image: ${shown.join(', ')}${more}`,
    {
      hint: hintFor(problems, found),
      data: { problems },
    },
  )
}

/** The interpreter of a virtual environment is a link to this machine's, so a project that has one meets this first. */
function hintFor(problems: readonly string[], found: readonly Found[]): string {
  const environments = found
    .flatMap(({ path }) => (path.endsWith('/pyvenv.cfg') ? [posix.dirname(path)] : []))
    .filter((folder) => problems.some((problem) => problem.startsWith(`\`${folder}/`)))
  if (environments.length === 0) return 'Remove them, or list them in .dockerignore.'
  const names = environments.map((folder) => `\`${folder}\``).join(', ')
  return `List ${names} in .dockerignore: a virtual environment of this machine is of no use in the image, which gets its own.`
}
