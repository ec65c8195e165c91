import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { digestHex, type Descriptor } from 'oci-spec-types'
import { explainWriteError } from '../core/atomic-file.ts'
import { assertExpected, Digester, digestOf, type Expected } from '../core/digest.ts'
import { BuildError } from '../core/errors.ts'
import { openPath } from '../core/file-access.ts'
import { disk } from '../core/limits.ts'
import { makeFolder } from '../core/make-folder.ts'
import { writeStream } from '../core/write-stream.ts'
import type { Store } from './store.ts'

/** A file that may come in several goes. */
export interface PartialFile {
  /** Equal for the same content: a digest, or an address with its validator. */
  readonly key: string
  /** The digest and size that it must have in the end, where they are known. */
  readonly expected?: Expected | undefined
  /** Names it in errors. */
  readonly what: string
  /** The bytes from an offset on. */
  from(offset: number): AsyncIterable<Uint8Array>
  readonly onBytes?: ((bytes: number) => void) | undefined
}

/**
 * Stores a file and keeps what has come when it is cut, so that the next call, in this process or a later one, asks for
 * the rest only.
 *
 * What was kept is hashed anew, and the whole is proven before it is a blob. Only one process at a time may store one
 * key. Parts that nobody takes up are removed by prune.
 *
 * @throws BuildError DIGEST_MISMATCH, SIZE_MISMATCH (what came is let go then), DISK_FULL, as `from` says
 */
export async function putResumable(store: Store, source: PartialFile): Promise<Pick<Descriptor, 'digest' | 'size'>> {
  const path = partialPath(store, source.key)
  let file: FileHandle | undefined
  let start = 0
  try {
    await makeFolder(dirname(path))
    file = await open(path, 'a')
    const digester = new Digester()
    for await (const chunk of openPath(path)()) digester.update(chunk)
    start = digester.sizeBytes
    if (start === 0 || start !== source.expected?.size) {
      await writeStream(file, hashed(source.from(start), digester, source), (bytes) => source.onBytes?.(start + bytes))
    }
    const size = digester.sizeBytes
    const digest = digester.digest()
    if (source.expected !== undefined) assertExpected({ digest, size }, source.expected, source.what)
    const written = file
    await disk(() => written.datasync())
    const target = store.path(digest)
    await makeFolder(dirname(target))
    await rename(path, target)
    return { digest, size }
  } catch (error) {
    const isWrong = error instanceof BuildError && (error.code === 'DIGEST_MISMATCH' || error.code === 'SIZE_MISMATCH')
    if (isWrong) await rm(path, { force: true })
    // The part that was kept may be what was wrong: once more, all of it.
    if (isWrong && start > 0) return await putResumable(store, source)
    throw explainWriteError(error, path)
  } finally {
    await file?.close()
  }
}

/** How many bytes of a file have come so far. */
export async function partialBytes(store: Store, key: string): Promise<number> {
  // Nothing came yet; one that may not be read fails where it is written on.
  const file = await open(partialPath(store, key), 'r').catch(() => undefined)
  try {
    return (await file?.stat())?.size ?? 0
  } finally {
    await file?.close()
  }
}

function partialPath(store: Store, key: string): string {
  return join(store.folder, 'tmp', `partial-${digestHex(digestOf(key))}`)
}

async function* hashed(
  stream: AsyncIterable<Uint8Array>,
  digester: Digester,
  { expected, what }: PartialFile,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    digester.update(chunk)
    if (expected !== undefined && digester.sizeBytes > expected.size)
      assertExpected({ digest: expected.digest, size: digester.sizeBytes }, expected, what)
    yield chunk
  }
}
