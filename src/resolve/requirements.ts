import { resolve } from 'node:path'
import type { Config } from '../config/config.ts'
import { BuildError } from '../core/errors.ts'
import {
  loadRequirements,
  parseRequirements,
  type Requirements,
  type SourceRequirement,
} from '../python/input/requirements-file.ts'
import { formatRequirement } from '../python/requirement.ts'
import type { RootRequirement } from '../python/resolution-input.ts'
import type { ResolveContext } from './context.ts'

/** Packages that the image brings itself; a project's own lines for them are left out, as Cog does. */
const BROUGHT_ALONG = new Set(['cog', 'coglet'])

/** What reading requirements takes: files may name others by URL. */
export type RequirementsContext = Pick<ResolveContext, 'projectFolder' | 'env' | 'http' | 'report' | 'signal'>

/**
 * What the project asks for, from its requirements file or its `python_packages`.
 *
 * @throws BuildError REQUIREMENT_INVALID with file and line; NOT_SUPPORTED for what would have to be built from source
 */
export async function readRequirements(config: Config, context: RequirementsContext): Promise<Requirements> {
  const { pythonRequirements, pythonPackages } = config.build
  const reading = { cwd: context.projectFolder, env: context.env, http: context.http, signal: context.signal }
  const read =
    pythonRequirements === undefined
      ? await parseRequirements(pythonPackages.join('\n'), 'build.python_packages', reading)
      : await loadRequirements([pythonRequirements], reading)
  const sources = read.sources.filter((source) => !isProjectItself(source, context))
  if (sources.length > 0) throw refuseSources(sources)
  const brought = read.requirements.filter(({ requirement }) => BROUGHT_ALONG.has(requirement.name))
  for (const { requirement, origin } of brought) {
    const text = `\`${formatRequirement(requirement)}\` (${origin ?? 'requirements'}) is left out: the image brings its own \`cog\` module`
    context.report({ type: 'note', level: 'warning', text, code: 'COG_REQUIREMENT' })
  }
  return { ...read, requirements: read.requirements.filter((root) => !brought.includes(root)) }
}

/** Requirements as plain JSON, for keys: equal lines give an equal value. */
export function requirementsKey({ requirements, constraints, options }: Requirements): unknown {
  const lines = (roots: readonly RootRequirement[]): unknown =>
    roots.map(({ requirement, hashes }) => [formatRequirement(requirement), hashes ?? []])
  return { requirements: lines(requirements), constraints: lines(constraints), options }
}

/** `-e .` means the project, which the image holds in any case; Cog drops the line, too. */
function isProjectItself({ location, isEditable }: SourceRequirement, { projectFolder }: RequirementsContext): boolean {
  return isEditable && resolve(projectFolder, location) === resolve(projectFolder)
}

function refuseSources(sources: readonly SourceRequirement[]): BuildError {
  const list = sources.map(({ location, name, origin }) => `${name ?? location} (${origin})`).join(', ')
  return new BuildError('NOT_SUPPORTED', `Only wheels can be laid down, and these would have to be built: ${list}`, {
    hint: 'Name a version that has a wheel, a wheel by URL or path, or an index that has one.',
    data: { sources: sources.map(({ location, origin }) => ({ location, origin })) },
  })
}
