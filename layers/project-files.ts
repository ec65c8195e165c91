import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { Open } from '../src/core/bytes.ts'
import { verify } from '../src/core/digest.ts'
import { BuildError } from '../src/core/errors.ts'
import { openPath } from '../src/core/file-access.ts'
import type { Entry } from './entry.ts'

/** A file or link of a folder, by content. Plain JSON. */
export type ListedFile =
  | {
      /** Relative to the folder, `/` between parts. */
      readonly path: string
      readonly sizeBytes: number
      /** Lower-case hex. */
      readonly sha256: string
      readonly mode: number
    }
  | { readonly path: string; readonly link: string }
  | { readonly path: string; readonly directory: true }

/**
 * Entries for listed files, laid at a target.
 *
 * @param folder absolute, on this machine
 * @param target absolute path in the image, such as `/src`
 */
export function entriesOf(files: readonly ListedFile[], folder: string, target: string): readonly Entry[] {
  const prefix = target.replace(/^\/+|\/+$/g, '')
  const place = (path: string): string => (prefix === '' ? path : `${prefix}/${path}`)
  return files.map((file): Entry => {
    if ('link' in file) return { kind: 'symlink', path: place(file.path), mode: 0o777, target: file.link }
    if ('directory' in file) return { kind: 'directory', path: place(file.path), mode: 0o755 }
    const { sizeBytes, mode } = file
    return { kind: 'file', path: place(file.path), mode, sizeBytes, open: openListed(join(folder, file.path), file) }
  })
}

/** Files below this are read at once; thousands of streams would cost more than their bytes. */
const SMALL_BYTES = 1 << 16

/** The first bytes of a small file. */
async function* readSmall(path: string, sizeBytes: number): AsyncGenerator<Buffer> {
  const file = openSync(path, 'r')
  try {
    const buffer = Buffer.allocUnsafe(sizeBytes)
    let done = 0
    for (let count = 1; count > 0 && done < buffer.length; done += count)
      count = readSync(file, buffer, done, buffer.length - done, null)
    if (done > 0) yield buffer.subarray(0, done)
  } finally {
    closeSync(file)
  }
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
