import { writeFileSync } from 'node:fs'
import { open, realpath, stat } from 'node:fs/promises'
import { explainWriteError, writeFileAtomically, type AtomicOptions } from './atomic-file.ts'
import { systemErrorCode } from './errors.ts'

/** Names of files that this process has open already: opened once more, a file would be written from its start. */
const OPEN_FILE = /^(?:\/dev\/|\/proc\/self\/)fd\/(\d+)$/
const STANDARD: Readonly<Record<string, number>> = { '/dev/stdout': 1, '/dev/stderr': 2 }

/**
 * Writes a file where somebody said, which may be no plain file: a symbolic link stays, and the file behind it is replaced as
 * {@link writeFileAtomically} does; a pipe or a device, such as `/dev/stdout`, is written to and stays what it is.
 *
 * @throws BuildError DISK_FULL, FILE_UNWRITABLE
 */
export async function writeNamedFile(path: string, content: string, options: AtomicOptions = {}): Promise<void> {
  try {
    const descriptor = STANDARD[path] ?? OPEN_FILE.exec(path)?.[1]
    if (descriptor !== undefined) return writeFileSync(Number(descriptor), content)
    const found = await lookAt(path)
    if (found === undefined || found.isDirectory()) return await writeFileAtomically(path, content, options)
    if (found.isFile()) return await writeFileAtomically(await realpath(path), content, options)
    await writeThrough(path, content)
  } catch (error) {
    throw explainWriteError(error, path)
  }
}

async function writeThrough(path: string, content: string): Promise<void> {
  const file = await open(path, 'w')
  try {
    await file.writeFile(content)
  } finally {
    await file.close()
  }
}

async function lookAt(path: string): Promise<Awaited<ReturnType<typeof stat>> | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    // Nothing there, or nothing that may be looked at: writing tells.
    if (systemErrorCode(error) === undefined) throw error
    return undefined
  }
}
