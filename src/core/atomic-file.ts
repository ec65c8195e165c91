import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BuildError, systemErrorCode } from './errors.ts'
import { disk } from './limits.ts'
import { makeFolder } from './make-folder.ts'
import { temporaryName } from './temporary-name.ts'

/** How a file is written; see {@link writeAtomically}. */
export interface AtomicOptions {
  /** Where the temporary file lies; the same file system as the target. Its folder unless given. */
  readonly temporaryFolder?: string | undefined
  readonly mode?: number | undefined
  /** Whether the content must survive a power cut once this returns; true unless given. */
  readonly durable?: boolean | undefined
}

/**
 * Writes a file that is either complete or absent, whatever happens on the way.
 *
 * Writes beside the target, flushes to disk, then renames. The temporary file is removed when anything fails.
 *
 * @param target the final path, or a folder and the name that the result gives (content-addressed files)
 * @param fill writes the content and gives the caller's result; a throw abandons the file
 * @throws BuildError DISK_FULL, FILE_UNWRITABLE
 */
export async function writeAtomically<T>(
  target: string | { readonly folder: string; readonly name: (result: T) => string },
  fill: (file: FileHandle) => Promise<T>,
  options: AtomicOptions = {},
): Promise<T> {
  const targetFolder = typeof target === 'string' ? dirname(target) : target.folder
  const folder = options.temporaryFolder ?? targetFolder
  const temporary = join(folder, temporaryName('.tmp'))
  try {
    const file = await within(folder, () => open(temporary, 'wx', options.mode ?? 0o644))
    let result: T
    try {
      result = await fill(file)
      if (options.durable !== false) await disk(() => file.datasync())
    } finally {
      await file.close()
    }
    const place = typeof target === 'string' ? target : join(target.folder, target.name(result))
    await within(targetFolder, () => rename(temporary, place))
    return result
  } catch (error) {
    // The first failure is what counts; what stays is cleared away with other temporary files.
    await rm(temporary, { force: true }).catch(() => {})
    throw explainWriteError(error, typeof target === 'string' ? target : targetFolder)
  }
}

/** Works in a folder, which is made when it turns out to be missing: nearly always it is there. */
async function within<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error
    await makeFolder(folder)
    return work()
  }
}

/** Writes bytes or text as {@link writeAtomically} does. */
export async function writeFileAtomically(
  path: string,
  content: Uint8Array | string,
  options: AtomicOptions = {},
): Promise<void> {
  await writeAtomically(path, (file) => file.writeFile(content), options)
}

/** Writes all of a chunk: a single write may take less of it, silently, when the disk fills. */
export async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.length;) {
    const { bytesWritten } = await disk(() => file.write(chunk, done))
    done += bytesWritten
  }
}

/**
 * Turns a file system's refusal into an error with a code and a hint; other errors stay what they are.
 *
 * @param hint what to do where nothing can be written
 */
export function explainWriteError(error: unknown, path: string, hint?: string): unknown {
  switch (systemErrorCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new BuildError('DISK_FULL', `No space left to write \`${path}\``, {
        hint: 'Free some space there, or write to a larger disk (LAYERWRIGHT_CACHE says where the store lies). Nothing half-written was left behind.',
        cause: error,
      })
    case 'EFBIG':
      return unwritable(
        path,
        'no file may be as large there',
        error,
        'Lift the limit (`ulimit -f`), or write to a disk without one.',
      )
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR':
    case 'EISDIR':
    case 'ENAMETOOLONG':
    case 'ELOOP':
    case 'ENXIO':
    case 'EIO':
      return unwritable(path, (error as Error).message, error, hint)
    case 'ENOENT':
      // What Node says of folders that it cannot make where nothing can be written.
      return (error as NodeJS.ErrnoException).syscall === 'mkdir'
        ? unwritable(path, 'its folder cannot be made, as where a disk is mounted to be read only', error, hint)
        : error
    default:
      return error
  }
}

function unwritable(path: string, reason: string, cause: unknown, hint: string | undefined): BuildError {
  return new BuildError('FILE_UNWRITABLE', `Cannot write \`${path}\`: ${reason}`, { hint, cause })
}
