import { mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { explainWriteError } from './atomic-file.ts'
import { BuildError, systemErrorCode } from './errors.ts'
import { removeLeft, temporaryName } from './temporary-name.ts'

/** A folder of this process alone. */
export interface WorkFolder {
  readonly path: string
  remove(): Promise<void>
}

const KIND = '.layerwright'

/**
 * Makes a folder in the system's temporary one, and removes what processes that were killed have left there.
 *
 * @param parent  another place than the system's; for tests
 * @throws BuildError DISK_FULL, FILE_UNWRITABLE
 */
export async function makeWorkFolder(parent: string = tmpdir()): Promise<WorkFolder> {
  const path = join(parent, temporaryName(KIND))
  try {
    await removeLeft(parent, KIND)
    // Fails where somebody has made one of that name before.
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT')
      throw new BuildError('FILE_UNWRITABLE', `The folder for temporary files is not there: \`${parent}\``, {
        hint: 'TMPDIR names it.',
        cause: error,
      })
    throw explainWriteError(error, path)
  }
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}
