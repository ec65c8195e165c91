import { readFile } from 'node:fs/promises'
import { resolve as resolvePath } from 'node:path'
import type { Config } from '../config/config.ts'
import defaults from '../core/defaults.json' with { type: 'json' }
import type { LockedWheel } from '../python/lock.ts'
import { normalizeName } from '../python/package-name.ts'
import { parseRequirement } from '../python/requirement.ts'
import type { ResolutionInput, RootRequirement } from '../python/resolution-input.ts'
import { resolvePython } from '../python/resolve-python.ts'
import type { Target } from '../python/target.ts'
import type { ResolveContext } from './context.ts'

/** Packages that the image brings itself; a project's own lines for them are left out, as Cog does. */
const BROUGHT_ALONG = new Set(['cog', 'coglet'])

/**
 * Resolves the project's Python packages for one target, with pip beside them, since `run` steps and people expect it
 * (and setuptools below 3.12, which venv brings there).
 */
export async function resolvePackages(
  config: Config,
  target: Target,
  context: ResolveContext,
): Promise<readonly LockedWheel[]> {
  const stated = statedRequirements(config, context)
  const names = new Set(stated.map(({ requirement }) => requirement.name))
  const brought = ['pip', ...(Number(target.pythonVersion.split('.')[1]) < 12 ? ['setuptools'] : [])]
  const added = brought.filter((name) => !names.has(name)).map((name) => ({ requirement: parseRequirement(name) }))
  const lock = await resolvePython(
    { target, requirements: [...stated, ...added], indexes: indexPlan(config, context) },
    { http: context.http, cache: context.cache('index'), signal: context.signal },
  )
  return lock.packages.map((wheel) => ({ ...wheel, requested: names.has(wheel.name) }))
}

function statedRequirements(config: Config, context: ResolveContext): RootRequirement[] {
  const stated: RootRequirement[] = []
  for (const [position, line] of config.build.pythonPackages.entries()) {
    const requirement = parseRequirement(line)
    if (BROUGHT_ALONG.has(requirement.name)) {
      const text = `\`${line}\` is left out: the image brings its own \`cog\` module`
      context.report({ type: 'note', level: 'warning', text, code: 'COG_REQUIREMENT' })
      continue
    }
    stated.push({ requirement, origin: `build.python_packages[${position}]` })
  }
  return stated
}

export function indexPlan(config: Config, { env }: ResolveContext): ResolutionInput['indexes'] {
  const { url, extraUrls, packages, strategy } = config.build.pythonIndex
  const main = url ?? env['PIP_INDEX_URL'] ?? env['UV_INDEX_URL'] ?? defaults.pythonIndex
  const pins = Object.entries(packages).map(([name, index]) => [normalizeName(name), withSlash(index)] as const)
  const explicit = [...new Set(pins.map(([, index]) => index))].map((index) => ({ url: index, isExplicit: true }))
  return {
    indexes: [...extraUrls, main].map((index) => ({ url: withSlash(index) })).concat(explicit),
    strategy,
    pins: Object.fromEntries(pins),
  }
}

function withSlash(url: string): string {
  return url.endsWith('/') ? url : `${url}/`
}

/** The texts of the project's requirement files, which decide the answers as the configuration does. */
export async function requirementFiles(config: Config, context: ResolveContext): Promise<readonly string[]> {
  const path = config.build.pythonRequirements
  return path === undefined ? [] : [await readFile(resolvePath(context.projectFolder, path), 'utf8')]
}
