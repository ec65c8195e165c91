import { constants, readFileSync } from 'node:fs'
import { readFile, realpath } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Digest } from 'oci-spec-types'
import type { Cache } from '../src/core/cache.ts'
import { digestOf } from '../src/core/digest.ts'
import { BuildError, systemErrorCode } from '../src/core/errors.ts'
import { changedFile, hashFile } from '../src/core/hash-file.ts'
import { parseDockerIgnore } from './docker-ignore.ts'
import { comparePaths } from './paths.ts'
import type { ListedFile } from './project-files.ts'
import { formatIndex, HASH_BYTES, KIND, parseIndex, STAMP_LENGTH } from './project-index.ts'
import {
  explainUnreadable,
  pathOf,
  placeOf,
  scanProject,
  visitEntries,
  type ProjectScan,
  type ScannedFolder,
} from './project-scan.ts'

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

/** A project folder that was looked at. */
export interface ProjectLook {
  /** Of all that {@link Project} says. */
  readonly content: Digest
  /** Lists it; quick, since all is known. */
  readonly project: () => Project
}

/** Cog's own folder of temporary files; the lock file, which learns of the image that it would be part of. */
const BUILT_IN = ['.cog', 'layerwright.lock']
const DEFAULT_WEIGHT_BYTES = 10 * 2 ** 20
/** Another form of what is remembered has another number. */
const INDEX_VERSION = 1

/**
 * Reads a project folder: what `.dockerignore` leaves in, by content.
 *
 * Links are kept as links and must stay inside; nothing else but files and folders can be in an image.
 *
 * @throws BuildError PROJECT_INVALID naming every link, socket, pipe or device that cannot be packed
 */
export async function readProject(folder: string, options: ProjectOptions = {}): Promise<Project> {
  return (await lookAtProject(folder, options)).project()
}

/**
 * Looks at a project folder, and reads those of its files that were touched since they were last read.
 *
 * @throws BuildError as {@link readProject}
 */
export async function lookAtProject(folder: string, options: ProjectOptions = {}): Promise<ProjectLook> {
  const { hashes, exclude = [], weightBytes = DEFAULT_WEIGHT_BYTES, signal, now = Date.now } = options
  const root = await realFolder(folder)
  const patterns = await readIgnoreFile(root)
  const rules = parseDockerIgnore(patterns, [...BUILT_IN, ...exclude])
  const key = `project ${INDEX_VERSION} ${JSON.stringify([root, exclude, weightBytes, patterns])}`
  const index = parseIndex(await hashes?.get(key))
  const scan = await scanProject({ root, rules, index, now: now(), signal })
  if (scan.problems.length > 0) throw refuse(scan)
  if (index !== undefined && scan.isUntouched)
    return { content: index.content, project: () => listProject(scan, weightBytes) }
  await hashFiles(scan, root, options)
  const project = listProject(scan, weightBytes)
  const content = digestOf(JSON.stringify(project))
  if (hashes !== undefined && scan.isNew) await hashes.set(key, formatIndex(scan.folders, content))
  return { content, project: () => project }
}

function listProject({ folders, links }: ProjectScan, weightBytes: number): Project {
  const files = folders.flatMap((folder) => listFolder(folder, links))
  files.sort((a, b) => comparePaths(a.path, b.path))
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

function listFolder(folder: ScannedFolder, links: ProjectScan['links']): ListedFile[] {
  const { path: parent, names, kinds, stamps, hashes, isKept } = folder
  const files: ListedFile[] = []
  if (isKept && parent !== '' && kinds.every((kind) => kind === KIND.ignored || kind === KIND.passed))
    files.push({ path: parent, directory: true })
  const hex = Buffer.from(hashes.buffer, hashes.byteOffset, hashes.length).toString('hex')
  for (const [n, name] of names.entries()) {
    const path = pathOf(parent, name)
    if (kinds[n] === KIND.link) files.push({ path, link: links.get(path) ?? '' })
    if (kinds[n] !== KIND.file) continue
    const [sizeBytes = 0, mode = 0] = [stamps[n * STAMP_LENGTH], stamps[n * STAMP_LENGTH + 5]]
    const sha256 = hex.slice(n * 2 * HASH_BYTES, (n + 1) * 2 * HASH_BYTES)
    files.push({ path, sizeBytes, mode: (mode & 0o100) === 0 ? 0o644 : 0o755, sha256 })
  }
  return files
}

/** Files below this are read whole. */
const SMALL_BYTES = 1 << 18

/** Hashes what was touched; small files one after the other, as long as that is quick. */
function hashFiles(scan: ProjectScan, root: string, options: ProjectOptions): Promise<void> {
  const isWanted = ({ kinds, isKnown }: ScannedFolder, n: number): boolean => kinds[n] === KIND.file && isKnown[n] !== 1
  const visitor = (folder: ScannedFolder) => (n: number, name: string, isQuick: boolean) => {
    const path = pathOf(folder.path, name)
    const [sizeBytes = 0, mode = 0] = [folder.stamps[n * STAMP_LENGTH], folder.stamps[n * STAMP_LENGTH + 5]]
    const file = { path, place: placeOf(root, path), sizeBytes }
    // It was a file when its folder was read.
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw changedFile(file.place)
    const keep = (sha256: string): void => folder.hashes.set(Buffer.from(sha256, 'hex'), n * HASH_BYTES)
    if (!isQuick || sizeBytes >= SMALL_BYTES) return async () => keep(await hashLater(file, options))
    keep(hashAtOnce(file))
    return undefined
  }
  return visitEntries(scan.folders, isWanted, visitor, options.signal)
}

interface FileToHash {
  readonly path: string
  readonly place: string
  /** Of before it is read. */
  readonly sizeBytes: number
}

/** Blocks: for a local file that takes a tenth of the time that a promise for each step does. */
function hashAtOnce({ path, place, sizeBytes }: FileToHash): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(place)
  } catch (error) {
    throw explainUnreadable(error, path)
  }
  if (bytes.length !== sizeBytes) throw changedFile(place)
  return digestOf(bytes).slice('sha256:'.length)
}

/** The hash of a large file is remembered as soon as it is known: the build may end before the others' are. */
async function hashLater({ path, place, sizeBytes }: FileToHash, options: ProjectOptions): Promise<string> {
  const { hashes, weightBytes: largeBytes, signal, now } = options
  signal?.throwIfAborted()
  try {
    const hashed = await hashFile(place, { hashes, largeBytes, signal, now })
    if (hashed.sizeBytes !== sizeBytes) throw changedFile(place)
    return hashed.sha256
  } catch (error) {
    throw explainUnreadable(error, path)
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

function refuse({ problems, folders }: ProjectScan): BuildError {
  const shown = problems.slice(0, 10)
  const more = problems.length > shown.length ? `, and ${problems.length - shown.length} more` : ''
  return new BuildError(
    'PROJECT_INVALID',
    `The project has files that cannot be in an image: ${shown.join(', ')}${more}`,
    {
      hint: hintFor(problems, folders),
      data: { problems },
    },
  )
}

/** The interpreter of a virtual environment is a link to this machine's, so a project that has one meets this first. */
function hintFor(problems: readonly string[], folders: readonly ScannedFolder[]): string {
  const environments = folders
    .flatMap(({ path, names }) => (path !== '' && names.includes('pyvenv.cfg') ? [path] : []))
    .filter((folder) => problems.some((problem) => problem.startsWith(`\`${folder}/`)))
  if (environments.length === 0) return 'Remove them, or list them in .dockerignore.'
  const names = environments.map((folder) => `\`${folder}\``).join(', ')
  return `List ${names} in .dockerignore: a virtual environment of this machine is of no use in the image, which gets its own.`
}
