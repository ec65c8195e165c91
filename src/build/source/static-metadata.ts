import { parseSpecifiers } from '../../python/specifier.ts'
import { parseRequirement } from '../../python/requirement.ts'
import { normalizeName } from '../../python/package-name.ts'
import { parseTable, tableAt, textAt, textsAt, type Table } from '../../python/formats/toml-table.ts'
import { parseVersion } from '../../python/version.ts'
import { BuildError } from '../../core/errors.ts'

/** How a source is built. @see PEP 518 */
export interface BuildSystem {
  readonly requires: readonly string[]
  /** `module` or `module:object`. */
  readonly backend: string
  /** Folders of the source that hold the backend. */
  readonly backendPath: readonly string[]
}

/** The files at the top of a source that speak of it. */
export interface SourceTexts {
  readonly pkgInfo?: string | undefined
  readonly pyproject?: string | undefined
}

const LEGACY: BuildSystem = {
  requires: ['setuptools>=40.8.0'],
  backend: 'setuptools.build_meta:__legacy__',
  backendPath: [],
}

/**
 * How a source is to be built; without a statement, by setuptools.
 *
 * @param what names the source in errors
 * @throws BuildError PROJECT_INVALID
 */
export function readBuildSystem({ pyproject }: SourceTexts, what: string): BuildSystem {
  const file = `pyproject.toml of ${what}`
  const table = pyproject === undefined ? undefined : tableAt(parseTable(pyproject, file), 'build-system')
  if (table === undefined) return LEGACY
  const requires = textsAt(table, 'requires')
  if (requires === undefined) {
    throw new BuildError('PROJECT_INVALID', `${file} has a [build-system] without \`requires\``)
  }
  const backend = textAt(table, 'build-backend')
  return backend === undefined
    ? { ...LEGACY, requires }
    : { requires, backend, backendPath: textsAt(table, 'backend-path') ?? [] }
}

/**
 * Core metadata that holds for every build of a source, so that none is needed: PKG-INFO from version 2.2 on whose
 * requirements are not dynamic, else a [project] table that states everything. Undefined where only a build tells.
 *
 * @see Core metadata specifications, "Dynamic"; PEP 621, "dynamic"
 */
export function readStaticMetadata({ pkgInfo, pyproject }: SourceTexts, what: string): string | undefined {
  if (pkgInfo !== undefined && isStatic(pkgInfo)) return pkgInfo
  return pyproject === undefined ? undefined : projectMetadata(parseTable(pyproject, `pyproject.toml of ${what}`))
}

const DECISIVE = new Set(['requires-dist', 'requires-python', 'provides-extra', 'version', 'name'])

function isStatic(pkgInfo: string): boolean {
  const head = pkgInfo.split(/\r?\n\r?\n/, 1)[0] ?? ''
  const values = (name: string): string[] =>
    [...head.matchAll(new RegExp(`^${name}:[ \\t]*(.*?)\\r?$`, 'gim'))].map((match) => match[1] ?? '')
  const [major = 0, minor = 0] = (values('Metadata-Version')[0] ?? '').split('.').map(Number)
  const isNew = major > 2 || (major === 2 && minor >= 2)
  return isNew && !values('Dynamic').some((field) => DECISIVE.has(field.toLowerCase()))
}

function projectMetadata(toml: Table): string | undefined {
  const project = tableAt(toml, 'project')
  const [name, version] = [textAt(project, 'name'), textAt(project, 'version')]
  if (project === undefined || name === undefined || version === undefined) return undefined
  const dynamic = textsAt(project, 'dynamic') ?? []
  if (['dependencies', 'optional-dependencies', 'requires-python'].some((field) => dynamic.includes(field)))
    return undefined
  try {
    // A value that is no good is the backend's to complain about.
    normalizeName(name)
    parseVersion(version)
    const python = textAt(project, 'requires-python')
    if (python !== undefined) parseSpecifiers(python)
    const optional = Object.entries(tableAt(project, 'optional-dependencies') ?? {})
    const lines = [
      ...(textsAt(project, 'dependencies') ?? []).map((text) => `Requires-Dist: ${checked(text)}`),
      ...optional.flatMap(([extra, texts]) => [
        `Provides-Extra: ${extra}`,
        ...(Array.isArray(texts) ? texts : []).map(
          (text) => `Requires-Dist: ${withExtra(checked(String(text)), extra)}`,
        ),
      ]),
    ]
    return [
      'Metadata-Version: 2.2',
      `Name: ${name}`,
      `Version: ${version}`,
      ...(python === undefined ? [] : [`Requires-Python: ${python}`]),
      ...lines,
      '',
    ].join('\n')
  } catch (error) {
    if (error instanceof BuildError) return undefined
    throw error
  }
}

function checked(text: string): string {
  parseRequirement(text)
  return text.replaceAll(/\s*[\r\n]\s*/g, ' ')
}

function withExtra(text: string, extra: string): string {
  const split = text.lastIndexOf(';')
  const { marker } = parseRequirement(text)
  if (marker === undefined || split === -1) return `${text} ; extra == '${extra}'`
  return `${text.slice(0, split)}; (${text.slice(split + 1).trim()}) and extra == '${extra}'`
}
