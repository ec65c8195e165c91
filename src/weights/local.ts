import type { Dirent } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { basename, isAbsolute, join, posix, resolve, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { hashFile } from '../core/hash-file.ts'
import { projectUrl } from '../core/project-url.ts'
import type { FoundFile, ListWeights, WeightsContext } from './source.ts'

/** Folders that tools keep beside weights for themselves. */
const LEFT_OUT = new Set(['.git', '.cog'])
const MAX_FILES = 100_000

/**
 * Weights on this machine: a file, or a folder with all below it.
 *
 * Links to files are followed, since the caches of download tools are made of them; links to folders are refused, since
 * they may lead anywhere and around.
 */
export const listLocal: ListWeights<'local'> = async ({ path }, context) => {
  const root = resolve(context.projectFolder, path)
  const found = await stat(root).catch((cause: unknown) => {
    throw new BuildError('WEIGHTS_NOT_FOUND', `The weights are not there: \`${path}\``, { cause })
  })
  if (found.isFile()) return { files: [fileAt(root, basename(root), path, context)] }
  const names = await walk(root, path)
  return { files: names.map((name) => fileAt(join(root, name), name, `${path.replace(/\/+$/, '')}/${name}`, context)) }
}

function fileAt(absolute: string, name: string, written: string, context: WeightsContext): FoundFile {
  const url = isAbsolute(written) ? pathToFileURL(absolute).href : projectUrl(posix.normalize(written))
  return {
    path: name,
    url,
    identify: async () => {
      try {
        const { sizeBytes, sha256 } = await hashFile(await realpath(absolute), {
          hashes: context.cache('hashes'),
          signal: context.signal,
        })
        return { sizeBytes, sha256 }
      } catch (error) {
        if (systemErrorCode(error) === undefined) throw error
        throw new BuildError('FILE_UNREADABLE', `Cannot read weights: \`${written}\``, { cause: error })
      }
    },
  }
}

async function walk(root: string, written: string): Promise<readonly string[]> {
  const files: string[] = []
  const problems: string[] = []
  const folders = ['']
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.isDirectory()) {
        if (!LEFT_OUT.has(entry.name)) folders.push(path)
      } else if (entry.isFile() || (await isLinkToFile(entry, join(root, path)))) files.push(path)
      else problems.push(path)
    }
    if (files.length > MAX_FILES)
      throw new BuildError('PROJECT_INVALID', `The folder has more than ${MAX_FILES} files: \`${written}\``)
  }
  if (problems.length > 0) {
    throw new BuildError(
      'PROJECT_INVALID',
      `Weights are files, and these are not: ${problems.slice(0, 10).join(', ')} in \`${written}\``,
      { hint: 'Links must lead to files. Remove the others, or name the folder that a link leads to.' },
    )
  }
  return files.map((path) => path.split(sep).join('/'))
}

async function isLinkToFile(entry: Dirent, path: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return false
  return stat(path).then(
    (target) => target.isFile(),
    () => false,
  )
}
