import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { cogYamlJsonSchema } from '../config/schema.ts'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { makeFolder } from '../core/make-folder.ts'
import { programVersion } from '../core/version.ts'
import { DOCKER_IGNORE, SCHEMA_PATH, TEMPLATES, type Template } from './templates.ts'
import { makeWorkflow } from './workflow.ts'

/** What a new project is to be. */
export interface InitOptions {
  readonly template?: keyof typeof TEMPLATES | undefined
  /** Whether a workflow that builds and pushes is written; yes unless told. */
  readonly workflow?: boolean | undefined
}

/** What was done, by path within the project. */
export interface InitResult {
  readonly created: readonly string[]
  /** Files that were there already and were left as they are. */
  readonly kept: readonly string[]
}

/**
 * Writes the files of a new project. A file that is there is never touched.
 *
 * @throws BuildError FILE_UNWRITABLE
 */
export async function initProject(folder: string, options: InitOptions = {}): Promise<InitResult> {
  const files: Template = {
    ...TEMPLATES[options.template ?? 'hello'],
    '.dockerignore': DOCKER_IGNORE,
    [SCHEMA_PATH]: `${JSON.stringify(cogYamlJsonSchema(), undefined, 2)}\n`,
    ...(options.workflow === false ? {} : { '.github/workflows/push.yaml': makeWorkflow(programVersion()) }),
  }
  const created: string[] = []
  const kept: string[] = []
  for (const [path, text] of Object.entries(files)) {
    const list = (await writeNew(join(folder, path), text)) ? created : kept
    list.push(path)
  }
  return { created, kept }
}

/** Writes a file unless there is one. */
async function writeNew(file: string, text: string): Promise<boolean> {
  try {
    await makeFolder(dirname(file))
  } catch (error) {
    // A file in a folder's place as well, which is no file that is kept.
    throw unwritable(file, error)
  }
  try {
    await writeFile(file, text, { flag: 'wx' })
    return true
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false
    throw unwritable(file, error)
  }
}

function unwritable(file: string, cause: unknown): BuildError {
  return new BuildError('FILE_UNWRITABLE', `Cannot write ${file}: ${systemErrorCode(cause) ?? String(cause)}`, {
    cause,
  })
}
