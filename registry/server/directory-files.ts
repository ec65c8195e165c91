import { constants } from 'node:fs'
import { copyFile, link, open, readFile, rename, rm, stat } from 'node:fs/promises'
import type { Index } from 'oci-spec-types'
import { indexSchema } from 'oci-spec-types/schemas'
import { BuildError, systemErrorCode } from '../../src/core/errors.ts'
import type { OpenBlob, StoredIndex } from './storage.ts'

const READ_BYTES = 1 << 20

/** The size of a file in bytes; undefined where there is none. */
export async function sizeOfFile(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path)
    return found.isFile() ? found.size : undefined
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
}

/** Opens a file for reading in pieces; close it. Undefined where there is none. */
export async function openBlob(path: string): Promise<OpenBlob | undefined> {
  try {
    const file = await open(path, 'r')
    const { size } = await file.stat()
    return {
      sizeBytes: size,
      stream: (start, end) =>
        end > start
          ? file.createReadStream({ start, end: end - 1, autoClose: false, highWaterMark: READ_BYTES })
          : none(),
      close: () => file.close(),
    }
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
}

async function* none(): AsyncGenerator<Uint8Array> {}

/** Whether a file has exactly these bytes. */
export async function holds(path: string, bytes: Uint8Array): Promise<boolean> {
  return (await sizeOfFile(path)) === bytes.length && (await readFile(path)).equals(bytes)
}

/**
 * Gives a file a second name, or copies it where there are no hard links.
 *
 * @param temporary  where a copy is made, on the file system of the target
 * @returns false when the source has gone
 */
export async function linkOrCopy(source: string, target: string, temporary: string): Promise<boolean> {
  try {
    await link(source, target)
    return true
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'EEXIST') return true
    if (code === 'ENOENT') return false
    // No hard links here (exFAT, some network file systems), too many, or another file system below the folder.
    if (!['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK', 'EXDEV'].includes(code ?? '')) throw error
  }
  try {
    await copyFile(source, temporary, constants.COPYFILE_FICLONE)
    await flushToDisk(temporary)
    await rename(temporary, target)
    return true
  } finally {
    await rm(temporary, { force: true })
  }
}

/** Waits until a file's bytes are on the disk. */
export async function flushToDisk(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.datasync()
  } finally {
    await file.close()
  }
}

/** @returns whether there was such a file */
export async function removeFile(path: string): Promise<boolean> {
  try {
    await rm(path)
    return true
  } catch (error) {
    if (isAbsence(error)) return false
    throw error
  }
}

/** The index of a layout; undefined where there is none. @throws BuildError FILE_UNREADABLE */
export async function readIndexFile(
  path: string,
  known: string | undefined,
): Promise<StoredIndex | 'unchanged' | undefined> {
  const version = await versionOf(path)
  if (version === undefined) return undefined
  if (version === known) return 'unchanged'
  try {
    return { index: indexSchema.parse(JSON.parse(await readFile(path, 'utf8'))) satisfies Index, version }
  } catch (error) {
    throw new BuildError('FILE_UNREADABLE', `Not the index of an OCI layout: \`${path}\``, { cause: error })
  }
}

/** Changes with every write of the file, ours or another program's. */
export async function versionOf(path: string): Promise<string | undefined> {
  try {
    const { ino, mtimeNs, size } = await stat(path, { bigint: true })
    return `${ino}:${mtimeNs}:${size}`
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
}

function isAbsence(error: unknown): boolean {
  const code = systemErrorCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}
