import { writeFileSync } from 'node:fs'
import { open, readlink, realpath, stat } from 'node:fs/promises'
import { dirname, isAbsolute, sep } from 'node:path'
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
    if (found !== undefined && !found.isFile() && !found.isDirectory()) return await writeThrough(path, content)
    await writeFileAtomically(await behindLinks(path), content, options)
  } catch (error) {
    throw explainWriteError(error, path)
  }
}

/**
 * The place of a file behind symbolic links, where `open` would make it: also where there is none yet.
 *
 * @throws the file system's ELOOP for links that lead in circles
 */
export async function behindLinks(path: string): Promise<string> {
  let place = path
  for (let hops = 0; hops < MOST_LINKS; hops++) {
    const link = await readLink(place)
    if (link === undefined) return place
    // Not joined: what `..` means is for the file system to say, there may be links before it.
    place = isAbsolute(link) ? link : `${dirname(place)}${sep}${link}`
  }
  return realpath(path)
}

/** As many as Linux follows. */
const MOST_LINKS = 40

async function readLink(path: string): Promise<string | undefined> {
  try {
    return await readlink(path)
  } catch (error) {
    // No link, or nothing at all: writing tells.
    if (systemErrorCode(error) === undefined) throw error
    return undefined
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
