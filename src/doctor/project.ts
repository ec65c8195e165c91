import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DiagnosticError } from '../core/diagnostic.ts'
import { BuildError, isBuildError } from '../core/errors.ts'
import { DOCKER_IGNORE } from '../init/templates.ts'
import type { MembersDocument } from '../pipelines/describe-project.ts'
import { readDescription } from '../pipelines/read-description.ts'
import { readProject } from '../../layers/project.ts'
import { failure, ok, skipped, warning, type Check, type DoctorContext, type Finding } from './check.ts'

const NO_PROJECT = skipped('There is no project here')

const config: Check = {
  id: 'config',
  group: 'project',
  title: 'cog.yaml',
  async run({ project, projectError }) {
    if (project !== undefined) return ok(project.file)
    if (isBuildError(projectError, 'CONFIG_MISSING')) {
      return warning('There is none in this folder or above it', 'Run `layerwright init` to make one.')
    }
    if (projectError instanceof DiagnosticError) {
      const places = projectError.issues.map((issue) => `${issue.file}:${issue.line}:${issue.column} ${issue.message}`)
      return failure(places.join('; '), 'Correct the lines; `layerwright plan` shows them with a caret.')
    }
    return failure(
      projectError instanceof Error ? projectError.message : String(projectError),
      'Make the file readable.',
    )
  },
}

const deprecated: Check = {
  id: 'deprecated-keys',
  group: 'project',
  title: 'Deprecated keys',
  async run({ project }) {
    if (project === undefined) return NO_PROJECT
    const { warnings, file } = project
    if (warnings.length === 0) return ok('none')
    const text = warnings.map((issue) => `line ${issue.line}: ${issue.message}`).join('; ')
    const remedy = [...new Set(warnings.flatMap((issue) => issue.hint ?? []))].join(' ')
    const renames = warnings.some((issue) => issue.path === 'predict')
    return warning(text, remedy === '' ? 'Remove them.' : remedy, renames ? () => renamePredict(file) : undefined)
  },
}

/** `predict:` at the start of a line is the key; everything else of the file stays byte for byte. */
async function renamePredict(file: string): Promise<string> {
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace(/^predict(\s*:)/m, 'run$1'))
  return 'renamed `predict` to `run` in cog.yaml'
}

const predictor: Check = {
  id: 'predictor',
  group: 'project',
  title: 'Signature of the model',
  async run({ project }) {
    if (project === undefined) return NO_PROJECT
    const { config } = project
    if (config.run === undefined && config.train === undefined && config.models === undefined)
      return warning('cog.yaml names no model', 'Add `run: predict.py:Predictor`.')
    try {
      const { predict, members, warnings } = await readDescription(project)
      const [first] = warnings
      if (first !== undefined)
        return warning(`${first.file}:${first.line}: ${first.message}`, first.hint ?? 'See the line.')
      const names = predict?.inputs.map(({ name }) => name) ?? []
      const takes = names.length === 0 ? 'takes no inputs' : `takes ${names.join(', ')}`
      return ok(members === undefined ? takes : `${members.default}, one of ${countMembers(members)}, ${takes}`)
    } catch (error) {
      if (!(error instanceof DiagnosticError)) throw error
      const places = error.issues.map((issue) => `${issue.file}:${issue.line}:${issue.column} ${issue.message}`)
      return failure(places.join('; '), error.issues[0]?.hint ?? 'Correct the lines.')
    }
  },
}

function countMembers({ models, pipelines }: MembersDocument): string {
  const count = Object.keys(pipelines).length
  return `${Object.keys(models).length} models and ${count} ${count === 1 ? 'pipeline' : 'pipelines'}`
}

const OLD_NAMES: readonly (readonly [RegExp, string])[] = [
  [/^\s*from\s+cog\s+import\s+.*\bFile\b/m, '`File` is deprecated: use `Path`'],
  [
    /^\s*from\s+cog\.(predictor|server|types|json|command)\b/m,
    'modules within `cog` are not public: import from `cog` itself',
  ],
  [
    /\bcog\.emit_metric\b|^\s*from\s+cog\s+import\s+.*\bemit_metric\b/m,
    '`emit_metric` is gone: use `current_scope().record_metric`',
  ],
]

const imports: Check = {
  id: 'imports',
  group: 'project',
  title: 'Imports from cog',
  async run({ project }) {
    if (project === undefined) return NO_PROJECT
    const { run, train, models = {} } = project.config
    const files = [run, train, ...Object.values(models).map((model) => model.run)].flatMap((pointer) =>
      pointer === undefined ? [] : pointer.slice(0, pointer.lastIndexOf(':')),
    )
    // One that is missing is a finding of another check.
    const texts = await Promise.all(
      files.map((file) => readFile(join(project.projectFolder, file), 'utf8').catch(() => '')),
    )
    const found = OLD_NAMES.filter(([pattern]) => texts.some((text) => pattern.test(text))).map(
      ([, message]) => message,
    )
    return found.length === 0 ? ok('up to date') : warning(found.join('; '), 'Change the imports.')
  },
}

const pythonVersion: Check = {
  id: 'python-version',
  group: 'project',
  title: 'Python version',
  async run({ project }) {
    if (project === undefined) return NO_PROJECT
    const { pythonVersion } = project.config.build
    return pythonVersion === undefined ? ok('chosen by the packages') : ok(`${pythonVersion}, as stated`)
  },
}

const ignoreFile: Check = {
  id: 'ignore-file',
  group: 'project',
  title: '.dockerignore',
  async run({ project }) {
    if (project === undefined) return NO_PROJECT
    const file = join(project.projectFolder, '.dockerignore')
    // One that may not be read here is of no use to a build either.
    const text = await readFile(file, 'utf8').catch(() => undefined)
    const write = async (): Promise<string> => {
      await writeFile(file, DOCKER_IGNORE, { flag: 'wx' })
      return 'wrote a .dockerignore'
    }
    if (text === undefined)
      return warning(
        'There is none, so everything is in the image',
        'Add one; `layerwright doctor --fix` writes it.',
        write,
      )
    const entries = await readdir(project.projectFolder)
    const missing = ['.git', '.venv', 'venv', 'node_modules'].filter(
      (name) => entries.includes(name) && !ignores(text, name),
    )
    return missing.length === 0
      ? ok('leaves out what no image needs')
      : warning(`${missing.join(', ')} will be in the image`, 'Add a line for each to .dockerignore.')
  },
}

function ignores(text: string, name: string): boolean {
  return text.split(/\r?\n/).some(
    (line) =>
      line
        .trim()
        .replace(/^(\.?\/|\*\*\/)/, '')
        .replace(/\/(\*\*)?$/, '') === name,
  )
}

/** Reads the project once for the checks below. */
async function contents(context: DoctorContext): Promise<Awaited<ReturnType<typeof readProject>> | Finding> {
  const { project, signal } = context
  if (project === undefined) return NO_PROJECT
  try {
    return await readProject(project.projectFolder, { weightBytes: Number.POSITIVE_INFINITY, signal })
  } catch (error) {
    if (isBuildError(error, 'PROJECT_INVALID'))
      return failure(error.message, error.hint ?? 'Remove them, or leave them out in .dockerignore.')
    if (error instanceof BuildError) return failure(error.message, error.hint ?? 'Make the files readable.')
    throw error
  }
}

const MIB = 2 ** 20
const MANY_FILES = 20_000
const LARGE_BYTES = 500 * MIB

const size: Check = {
  id: 'project-size',
  group: 'project',
  title: 'Size of the project',
  async run(context) {
    const { project } = context
    if (project === undefined) return NO_PROJECT
    const { files, bytes } = await measure(project.projectFolder)
    const text = `${files} files, ${(bytes / MIB).toFixed(0)} MiB`
    if (files > MANY_FILES) return warning(text, 'Leave out what the model does not need in .dockerignore.')
    return bytes > LARGE_BYTES ? ok(`${text}; files of 10 MiB or more become layers of their own`) : ok(text)
  },
}

async function measure(folder: string): Promise<{ files: number; bytes: number }> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  let bytes = 0
  // What goes away while it is measured does not count.
  for (const path of paths) bytes += (await stat(path).catch(() => undefined))?.size ?? 0
  return { files: paths.length, bytes }
}

const links: Check = {
  id: 'links',
  group: 'project',
  title: 'Links and special files',
  async run(context) {
    const found = await contents(context)
    return 'status' in found ? found : ok('all stay within the project')
  },
}

const secrets: Check = {
  id: 'secrets',
  group: 'project',
  title: 'Files that look like secrets',
  async run(context) {
    const found = await contents(context)
    if ('status' in found) return skipped('The project cannot be read')
    return found.suspects.length === 0
      ? ok('none')
      : warning(
          `In the image: ${found.suspects.slice(0, 5).join(', ')}`,
          'Leave them out in .dockerignore; give secrets to run steps with `--secret`.',
        )
  },
}

const caseCollisions: Check = {
  id: 'case-collisions',
  group: 'project',
  title: 'Names that differ in case only',
  async run(context) {
    const found = await contents(context)
    if ('status' in found) return skipped('The project cannot be read')
    const seen = new Map<string, string>()
    const pairs: string[] = []
    for (const { path } of found.code) {
      const folded = path.normalize('NFC').toLowerCase()
      const other = seen.get(folded)
      if (other !== undefined) pairs.push(`${other} and ${path}`)
      seen.set(folded, path)
    }
    return pairs.length === 0
      ? ok('none')
      : warning(pairs.slice(0, 5).join('; '), 'Rename one of each: on macOS and Windows they are one file.')
  },
}

/** What is looked at in the project. */
export const PROJECT_CHECKS: readonly Check[] = [
  config,
  deprecated,
  predictor,
  imports,
  pythonVersion,
  ignoreFile,
  size,
  links,
  secrets,
  caseCollisions,
]
