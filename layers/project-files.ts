import { join } from 'node:path'
import type { Open } from '../src/core/bytes.ts'
import { verify } from '../src/core/digest.ts'
import { BuildError } from '../src/core/errors.ts'
import { openPath, readSmallFile } from '../src/core/file-access.ts'
import type { Entry } from './entry.ts'
import type { ListedFiles } from './listed-files.ts'

/**
 * Entries for listed files, laid at a target, each made when it is asked for.
 *
 * @param folder absolute, on this machine
 * @param target absolute path in the image, such as `/src`
 */
export function* entriesOf(files: ListedFiles, folder: string, target: string): Generator<Entry> {
  const prefix = target.replace(/^\/+|\/+$/g, '')
  const place = (path: string): string => (prefix === '' ? path : `${prefix}/${path}`)
  for (const file of files) {
    const path = place(file.path)
    if ('link' in file) yield { kind: 'symlink', path, mode: 0o777, target: file.link }
    else if ('directory' in file) yield { kind: 'directory', path, mode: 0o755 }
    else {
      const { sizeBytes, mode } = file
      yield { kind: 'file', path, mode, sizeBytes, open: openListed(join(folder, file.path), file) }
    }
  }
}

/** Files below this are read at once; thousands of streams would cost more than their bytes. */
const SMALL_BYTES = 1 << 16

/** The first bytes of a small file. */
async function* readSmall(path: string, sizeBytes: number): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafe(sizeBytes)
  const done = readSmallFile(path, buffer)
  if (done > 0) yield buffer.subarray(0, done)
}

/** What a file had when it was listed: one that only grew since, as a log does, still has it. */
async function* firstBytes(bytes: AsyncIterable<Uint8Array>, sizeBytes: number): AsyncGenerator<Uint8Array> {
  let left = sizeBytes
  for await (const chunk of bytes) {
    if (chunk.length >= left) {
      yield chunk.subarray(0, left)
      return
    }
    yield chunk
    left -= chunk.length
  }
}

/**
 * Opens a listed file and fails when it does not start with what was listed: the layer's key would lie. The output of this
 * very command may go to a file of the project, so growing is no reason to fail.
 */
function openListed(path: string, { sha256, sizeBytes }: { sha256: string; sizeBytes: number }): Open {
  return async function* (options = {}) {
    try {
      const isSmall = sizeBytes < SMALL_BYTES
      const bytes = isSmall ? readSmall(path, sizeBytes) : firstBytes(openPath(path)(options), sizeBytes)
      yield* verify(bytes, { digest: `sha256:${sha256}`, size: sizeBytes }, `\`${path}\``)
    } catch (cause) {
      if (!(cause instanceof BuildError)) throw cause
      throw new BuildError('PROJECT_INVALID', `\`${path}\` changed while the image was built`, {
        hint: 'Something writes to this file. Build again when it is done.',
        cause,
      })
    }
  }
}
