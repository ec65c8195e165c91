import { readFile } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import type { Config } from '../config/config.ts'
import { digestOf } from '../core/digest.ts'
import { BuildError } from '../core/errors.ts'
import { isLockFile, loadLockFile, lockedVersions } from '../python/formats/lock-file.ts'
import { parsePyproject } from '../python/formats/pyproject.ts'
import { decodeText } from '../python/input/decode-text.ts'
import {
  loadRequirements,
  parseRequirements,
  type Requirements,
  type SourceRequirement,
} from '../python/input/requirements-file.ts'
import { formatRequirement, parseRequirement } from '../python/requirement.ts'
import type { RootRequirement } from '../python/resolution-input.ts'
import { formatSpecifiers, matchesSpecifiers, type SpecifierSet } from '../python/specifier.ts'
import { parseVersion } from '../python/version.ts'
import type { ResolveContext } from './context.ts'
import { folderOf } from './sources.ts'

/** Packages that the image brings itself; a project's own lines for them are left out, as Cog does. */
export const BROUGHT_ALONG: ReadonlySet<string> = new Set(['cog', 'coglet'])

/** What reading requirements takes: files may name others by URL. */
export type RequirementsContext = Pick<ResolveContext, 'projectFolder' | 'env' | 'http' | 'report' | 'signal'>

/**
 * What the project asks for, from its requirements file or its `python_packages`.
 *
 * @throws BuildError REQUIREMENT_INVALID with file and line
 */
export async function readRequirements(config: Config, context: RequirementsContext): Promise<Requirements> {
  const read = await readSource(config, context)
  const sources = read.sources.filter((source) => !isProjectItself(source, context))
  const brought = read.requirements.filter(({ requirement }) => BROUGHT_ALONG.has(requirement.name))
  for (const { requirement, origin } of brought) {
    const text = `\`${formatRequirement(requirement)}\` (${origin ?? 'requirements'}) is left out: the image brings its own \`cog\` module`
    context.report({ type: 'note', level: 'warning', text, code: 'COG_REQUIREMENT' })
  }
  return { ...read, sources, requirements: read.requirements.filter((root) => !brought.includes(root)) }
}

async function readSource({ build }: Config, context: RequirementsContext): Promise<Requirements> {
  const { pythonRequirements: file, pythonPackages } = build
  const reading = { cwd: context.projectFolder, env: context.env, http: context.http, signal: context.signal }
  if (file === undefined) return parseRequirements(pythonPackages.join('\n'), 'build.python_packages', reading)
  if (isLockFile(file)) return readLock(file, build, context)
  return basename(file) === 'pyproject.toml' ? readPyproject(file, build, context) : loadRequirements([file], reading)
}

/** A lock answers everything; what it holds is told as pins, since frameworks decide about the rest of the image. */
async function readLock(
  file: string,
  { extras, groups }: Config['build'],
  { projectFolder }: RequirementsContext,
): Promise<Requirements> {
  const lock = await loadLockFile(resolve(projectFolder, file))
  const requirements = [...lockedVersions(lock)].map(([name, version]) => ({
    requirement: parseRequirement(version === undefined ? name : `${name}==${version}`),
    origin: file,
  }))
  return {
    requirements,
    constraints: [],
    sources: [],
    options: NO_OPTIONS,
    files: [lock.path],
    lock: { ...lock, extras, groups },
  }
}

/** The dependencies of a project, with those of the extras and groups that cog.yaml names. */
async function readPyproject(
  file: string,
  { extras, groups, pythonVersion }: Config['build'],
  { projectFolder }: RequirementsContext,
): Promise<Requirements> {
  const path = resolve(projectFolder, file)
  const text = decodeText(await readFile(path), file)
  const { requirements, requiresPython } = parsePyproject(text, file, { extras, groups })
  if (pythonVersion !== undefined && !admits(requiresPython, pythonVersion)) {
    const wanted = formatSpecifiers(requiresPython)
    throw new BuildError('RESOLVE_CONFLICT', `${file} requires Python ${wanted}; cog.yaml states ${pythonVersion}`, {
      hint: 'Change `build.python_version`, or `requires-python`.',
    })
  }
  return {
    requirements: requirements.map((requirement) => ({ requirement, origin: file })),
    constraints: [],
    sources: [],
    options: NO_OPTIONS,
    files: [path],
  }
}

const NO_OPTIONS: Requirements['options'] = {
  extraIndexUrls: [],
  findLinks: [],
  noIndex: false,
  allowsPreReleases: false,
  requiresHashes: false,
  noBinary: [],
  onlyBinary: [],
  trustedHosts: [],
}

/** `3.12` stands for any 3.12.x: it is refused only when neither its first nor its last release will do. */
function admits(requiresPython: SpecifierSet, pythonVersion: string): boolean {
  const isMinor = pythonVersion.split('.').length === 2
  const candidates = isMinor ? [`${pythonVersion}.0`, `${pythonVersion}.99`] : [pythonVersion]
  return candidates.some((version) => matchesSpecifiers(requiresPython, parseVersion(version), version))
}

/** Requirements as plain JSON, for keys: equal lines give an equal value. */
export function requirementsKey({ requirements, constraints, options, lock }: Requirements): unknown {
  const lines = (roots: readonly RootRequirement[]): unknown =>
    roots.map(({ requirement, hashes }) => [formatRequirement(requirement), hashes ?? []])
  return {
    requirements: lines(requirements),
    constraints: lines(constraints),
    options,
    ...(lock === undefined ? {} : { lock: digestOf(lock.text) }),
  }
}

/** `-e .` means the project, which the image holds in any case; Cog drops the line, too. */
function isProjectItself({ location, isEditable }: SourceRequirement, { projectFolder }: RequirementsContext): boolean {
  return isEditable && folderOf(location) === resolve(projectFolder)
}
