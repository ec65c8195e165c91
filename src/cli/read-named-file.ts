import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { BuildError } from '../core/errors.ts'

/** Reads a file that an option names, relative to a folder. @throws BuildError FILE_UNREADABLE */
export async function readNamedFile(path: string, folder: string): Promise<Buffer> {
  try {
    return await readFile(resolve(folder, path))
  } catch (error) {
    throw new BuildError('FILE_UNREADABLE', `Cannot read \`${path}\``, { cause: error })
  }
}
