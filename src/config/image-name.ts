import { basename } from 'node:path'

const PREFIX = 'cog-'
const MAX_LENGTH = 30

/**
 * The image name of a project that names none: `cog-<folder>`, as Cog makes it.
 *
 * Lower case; runs of other characters become `-`; at most 30 characters.
 *
 * @example defaultImageName('/home/joe/My Model') === 'cog-my-model'
 */
export function defaultImageName(projectFolder: string): string {
  const clean = basename(projectFolder)
    .toLowerCase()
    .replaceAll(/[^a-z0-9_.-]+/g, '-')
    // A reference allows one separator between two letters or digits (two for `_`).
    .replaceAll(/[_.-]*[.-][_.-]*|_{3,}/g, (run) => (run.includes('-') ? '-' : run.includes('.') ? '.' : '__'))
  const name = clean.startsWith(PREFIX) ? clean : `${PREFIX}${clean.replace(/^[_.-]+/, '')}`
  const short = name.slice(0, MAX_LENGTH).replace(/[_.-]+$/, '')
  return short === 'cog' ? 'cog-model' : short
}
