import { readFile, rm, writeFile } from 'node:fs/promises'
import { BuildError, systemErrorCode } from '../../src/core/errors.ts'

/**
 * Makes sure that one registry at a time serves a folder.
 *
 * The lock is a file with the process's number. A process that was killed leaves it behind; the next one sees that
 * nobody has that number and takes over.
 *
 * @returns gives the lock back
 * @throws BuildError FILE_UNWRITABLE when another living process holds it
 */
export async function lockDirectory(path: string): Promise<() => Promise<void>> {
  for (;;) {
    try {
      await writeFile(path, `${process.pid}\n`, { flag: 'wx' })
      return () => rm(path, { force: true })
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw error
    }
    const holder = await readHolder(path)
    if (holder !== undefined && isAlive(holder)) {
      throw new BuildError('FILE_UNWRITABLE', `Another registry serves this folder: process ${holder}`, {
        hint: `Stop it, or choose another folder. If process ${holder} is no registry, remove \`${path}\`.`,
      })
    }
    await rm(path, { force: true })
  }
}

async function readHolder(path: string): Promise<number | undefined> {
  try {
    const holder = Number(await readFile(path, 'utf8'))
    return Number.isSafeInteger(holder) && holder > 0 ? holder : undefined
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

function isAlive(holder: number): boolean {
  // In containers the same number comes back with every start: then it is our own, and the lock is an old one.
  if (holder === process.pid) return false
  try {
    process.kill(holder, 0)
    return true
  } catch (error) {
    // EPERM: it lives and is somebody else's.
    return systemErrorCode(error) === 'EPERM'
  }
}
