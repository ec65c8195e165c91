import { readFile, realpath } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Digest } from 'oci-spec-types'
import type { Cache } from '../src/core/cache.ts'
import { BuildError, systemErrorCode } from '../src/core/errors.ts'
import { parseDockerIgnore } from './docker-ignore.ts'
import type { ListedFile } from './listed-files.ts'
import { hashFiles } from './project-hashes.ts'
import { formatIndex, parseIndex } from './project-index.ts'
import { contentOf, listProject, type Project } from './project-list.ts'
import { scanProject, type ProjectScan, type ScannedFolder } from './project-scan.ts'

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

/** A project folder that was looked at. */
export interface ProjectLook {
  /** Of all that {@link Project} says. */
  readonly content: Digest
  /** Lists it; quick, since all is known. */
  readonly project: () => Project
}

/** A project whose files are all held. */
export interface ReadProject extends Project {
  readonly code: readonly ListedFile[]
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
export async function readProject(folder: string, options: ProjectOptions = {}): Promise<ReadProject> {
  const project = (await lookAtProject(folder, options)).project()
  return { ...project, code: [...project.code] }
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
  const content = contentOf(project)
  if (hashes !== undefined && scan.isNew) await hashes.set(key, formatIndex(scan.folders, content))
  return { content, project: () => project }
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
