import { BuildError } from '../../core/errors.ts'
import { normalizeName } from '../package-name.ts'
import { parseRequirement, type Requirement } from '../requirement.ts'
import { parseSpecifiers, type SpecifierSet } from '../specifier.ts'
import { parseTable, tableAt, textAt, type Table } from './toml-table.ts'

/** What a project asks for. */
export interface Pyproject {
  readonly name: string | undefined
  readonly requiresPython: SpecifierSet
  /** Dependencies, then those of the extras and groups asked for, in their order. */
  readonly requirements: readonly Requirement[]
}

/** Which optional parts are wanted. */
export interface PyprojectOptions {
  readonly extras?: readonly string[]
  /** Dependency groups. @see PEP 735 */
  readonly groups?: readonly string[]
}

/**
 * Reads the dependencies of a `pyproject.toml`.
 *
 * @param file names the file in errors
 * @throws BuildError PROJECT_INVALID for a missing extra or group, a circle of groups, dynamic dependencies
 * @see PEP 621, PEP 735
 */
export function parsePyproject(
  text: string,
  file: string,
  { extras = [], groups = [] }: PyprojectOptions = {},
): Pyproject {
  const toml = parseTable(text, file)
  const project = tableAt(toml, 'project')
  if (project === undefined && groups.length === 0)
    throw invalid(file, 'it has no [project] table', 'Only PEP 621 projects are read.')
  const dynamic = list(project, 'dynamic', file)
  for (const field of ['dependencies', 'optional-dependencies']) {
    const isNeeded = field === 'dependencies' || extras.length > 0
    if (dynamic.includes(field) && isNeeded) {
      throw invalid(
        file,
        `its ${field} are dynamic`,
        'They are known only after the project was built. State them in the file, or use a requirements file.',
      )
    }
  }
  const optional = byName(tableAt(project, 'optional-dependencies'))
  const grouped = byName(tableAt(toml, 'dependency-groups'))
  const texts = [
    ...list(project, 'dependencies', file),
    ...extras.flatMap((extra) => extraTexts(optional, extra, file)),
    ...groups.flatMap((group) => groupTexts(grouped, group, file, [])),
  ]
  return {
    name: textAt(project, 'name'),
    requiresPython: parseSpecifiers(textAt(project, 'requires-python') ?? ''),
    requirements: expandSelf(
      texts.map((each) => parse(each, file)),
      textAt(project, 'name'),
      optional,
      file,
    ),
  }
}

/** `name[extra]` inside of `name` itself means the requirements of that extra. */
function expandSelf(
  requirements: readonly Requirement[],
  name: string | undefined,
  optional: ReadonlyMap<string, readonly unknown[]>,
  file: string,
): readonly Requirement[] {
  if (name === undefined) return requirements
  const own = normalizeName(name)
  const seen = new Set<string>()
  const expand = (requirement: Requirement): readonly Requirement[] => {
    if (requirement.name !== own) return [requirement]
    return requirement.extras.flatMap((extra) => {
      if (seen.has(normalizeName(extra))) return []
      seen.add(normalizeName(extra))
      return extraTexts(optional, extra, file)
        .map((each) => parse(each, file))
        .flatMap(expand)
    })
  }
  return requirements.flatMap(expand)
}

function extraTexts(optional: ReadonlyMap<string, readonly unknown[]>, extra: string, file: string): readonly string[] {
  const texts = optional.get(normalizeName(extra))
  if (texts === undefined) throw invalid(file, `it has no extra \`${extra}\``, names('Extras', optional))
  return texts.map(String)
}

function groupTexts(
  groups: ReadonlyMap<string, readonly unknown[]>,
  group: string,
  file: string,
  parents: readonly string[],
): readonly string[] {
  const name = normalizeName(group)
  const members = groups.get(name)
  if (members === undefined) throw invalid(file, `it has no dependency group \`${group}\``, names('Groups', groups))
  if (parents.includes(name))
    throw invalid(file, `its dependency groups include each other in a circle: ${[...parents, name].join(' -> ')}`)
  return members.flatMap((member) => {
    if (typeof member === 'string') return [member]
    const included = (member as Table | null)?.['include-group']
    if (typeof included !== 'string')
      throw invalid(file, `the dependency group \`${group}\` holds something that is no requirement`)
    return groupTexts(groups, included, file, [...parents, name])
  })
}

function byName(table: Table | undefined): ReadonlyMap<string, readonly unknown[]> {
  return new Map(
    Object.entries(table ?? {}).map(([name, value]) => [normalizeName(name), Array.isArray(value) ? value : []]),
  )
}

function list(table: Table | undefined, key: string, file: string): readonly string[] {
  const value = table?.[key]
  if (value === undefined) return []
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  throw invalid(file, `\`${key}\` is no list of strings`)
}

function parse(text: string, file: string): Requirement {
  try {
    return parseRequirement(text)
  } catch (cause) {
    if (!(cause instanceof BuildError)) throw cause
    throw new BuildError('PROJECT_INVALID', `${file}: ${cause.message}`, { cause })
  }
}

function names(what: string, map: ReadonlyMap<string, unknown>): string {
  return `${what}: ${[...map.keys()].join(', ') || 'none'}.`
}

function invalid(file: string, why: string, hint?: string): BuildError {
  return new BuildError('PROJECT_INVALID', `${file} cannot be used: ${why}`, { hint })
}
