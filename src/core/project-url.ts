import { decodePercent } from './percent.ts'
import { filePathOf } from './file-url.ts'
import { join } from 'node:path'

/** The address of a file by its path from the project folder: the same on every machine that has the project. */
export function projectUrl(path: string): string {
  return `project:${path.split('/').map(encodeURIComponent).join('/')}`
}

/** The path on this machine of a `project:` or `file:` address; undefined for others. */
export function localPath(url: string, projectFolder: string): string | undefined {
  if (url.startsWith('file:')) return filePathOf(url)
  if (!url.startsWith('project:')) return undefined
  return join(projectFolder, ...url.slice('project:'.length).split('/').map(decodePercent))
}
