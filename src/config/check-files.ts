import { readdir, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, normalize } from 'node:path'
import { nearest } from '../core/suggest.ts'
import { isArmoredKey } from './make-config.ts'
import type { ReportIssue } from './issues.ts'
import type { CogYaml } from './schema.ts'
import type { PathPart } from './tree.ts'

/** Checks that the files which the configuration names are there. */
export async function checkFiles(yaml: CogYaml, projectFolder: string, report: ReportIssue): Promise<void> {
  for (const key of ['run', 'predict', 'train'] as const) {
    const pointer = yaml[key]
    if (pointer === undefined) continue
    await checkOwnFile(pointer.slice(0, pointer.lastIndexOf(':')), [key], projectFolder, report)
  }
  for (const [name, model] of Object.entries(yaml.models ?? {})) {
    for (const key of ['run', 'predict'] as const) {
      const pointer = model[key]
      if (pointer === undefined) continue
      await checkOwnFile(pointer.slice(0, pointer.lastIndexOf(':')), ['models', name, key], projectFolder, report)
    }
  }
  const provider = yaml.observability?.config
  if (provider !== undefined) {
    await checkOwnFile(provider, ['observability', 'config'], projectFolder, report)
  }
  const requirements = yaml.build?.python_requirements
  if (requirements !== undefined) {
    await checkFile(requirements, ['build', 'python_requirements'], projectFolder, report, '')
  }
  for (const [index, source] of (yaml.build?.apt_sources ?? []).entries()) {
    const { key } = source
    if (typeof key !== 'string' || isArmoredKey(key)) continue
    await checkFile(key, ['build', 'apt_sources', index, 'key'], projectFolder, report, '')
  }
}

/** A Python file that has to be in the image. */
async function checkOwnFile(
  file: string,
  path: readonly PathPart[],
  projectFolder: string,
  report: ReportIssue,
): Promise<void> {
  if (isAbsolute(file) || normalize(file).startsWith('..')) {
    report('error', 'file-outside', path, `The file must lie in the project folder: \`${file}\``)
  } else await checkFile(file, path, projectFolder, report, '.py')
}

async function checkFile(
  file: string,
  path: readonly PathPart[],
  projectFolder: string,
  report: ReportIssue,
  ending: string,
): Promise<void> {
  const absolute = isAbsolute(file) ? file : join(projectFolder, file)
  // Not there, or in a folder that may not be entered: neither can be used, and the message names the path.
  const found = await stat(absolute).catch(() => undefined)
  if (found?.isFile() === true) return
  if (found !== undefined) return report('error', 'file-missing', path, `This is not a file: \`${file}\``)
  // No folder, no suggestion.
  const beside = await readdir(dirname(absolute)).catch(() => [])
  const folder = file.slice(0, file.lastIndexOf('/') + 1)
  const suggestion = nearest(
    file.slice(folder.length),
    beside.filter((name) => name.endsWith(ending)),
  )
  report('error', 'file-missing', path, `There is no file \`${file}\` in the project`, {
    suggestion: suggestion === undefined ? undefined : `${folder}${suggestion}`,
  })
}
