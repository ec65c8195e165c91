import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import type { Location } from './location.ts'

/**
 * Sees that nothing of another kind lies where an image is to go: told before anything is made, and not by the system's words
 * for the call that fails in the end.
 *
 * @throws BuildError FILE_UNWRITABLE
 */
export async function assertPlace({ kind, path }: Exclude<Location, { kind: 'registry' }>): Promise<void> {
  const found = await kindAt(path)
  if (kind === 'oci' && found === 'file')
    throw refused(path, 'there is a file, and an OCI layout is a folder', 'Name another place, or `oci-archive:FILE`.')
  if (kind !== 'oci' && found === 'folder')
    throw refused(
      path,
      'there is a folder, and an archive is a file',
      `Name a file in it: \`${kind}:${path}/image.tar\`.`,
    )
  if (found === 'special')
    throw refused(
      path,
      'there is a pipe or a device, and an image is written to a file or a folder',
      'Write a file, and hand that on; `--load` hands an image to docker, podman or nerdctl.',
    )
  if (found === undefined) await assertFolderAbove(path)
}

/** The first thing above that is there decides. */
async function assertFolderAbove(path: string): Promise<void> {
  let above = dirname(path)
  let found = await kindAt(above)
  while (found === undefined && above !== dirname(above)) {
    above = dirname(above)
    found = await kindAt(above)
  }
  if (found === 'file' || found === 'special')
    throw refused(path, `\`${above}\` is a file, not a folder`, 'Name another place.')
}

async function kindAt(path: string): Promise<'file' | 'folder' | 'special' | undefined> {
  try {
    const found = await stat(path)
    if (found.isDirectory()) return 'folder'
    return found.isFile() ? 'file' : 'special'
  } catch (error) {
    // Nothing there, or nothing that may be looked at: writing tells.
    if (systemErrorCode(error) === undefined) throw error
    return undefined
  }
}

function refused(path: string, reason: string, hint: string): BuildError {
  return new BuildError('FILE_UNWRITABLE', `Cannot write \`${path}\`: ${reason}`, { hint })
}
