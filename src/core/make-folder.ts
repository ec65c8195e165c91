import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemErrorCode } from './errors.ts'

/**
 * Makes a folder, and those above it that are missing; one that is there is left as it is.
 *
 * What `mkdir` does with `recursive`, which in Node 20 tries for ever where the file system says "no such file" of a name
 * below a folder that exists, as `/proc` does.
 *
 * @param mode of the folders that are made
 * @throws the file system's refusal, with `syscall` `mkdir`
 */
export async function makeFolder(path: string, mode = 0o777): Promise<void> {
  try {
    await makeLast(path, mode)
  } catch (error) {
    const parent = dirname(path)
    if (systemErrorCode(error) !== 'ENOENT' || parent === path) throw error
    await makeFolder(parent, mode)
    await makeLast(path, mode)
  }
}

async function makeLast(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, mode)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || !(await isFolder(path))) throw error
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch {
    // A question, and this is its answer: what could not be made is told by who asks.
    return false
  }
}
