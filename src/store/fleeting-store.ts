import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { Descriptor, Digest } from 'oci-spec-types'
import { explainWriteError, writeAll } from '../core/atomic-file.ts'
import { bytesAccess, collect, copied, openBytes } from '../core/bytes.ts'
import { memoryCache, type Cache } from '../core/cache.ts'
import { hashedStream, verify, type Expected } from '../core/digest.ts'
import { BuildError } from '../core/errors.ts'
import { openFile, openPath } from '../core/file-access.ts'
import { temporaryName } from '../core/temporary-name.ts'
import type { Store } from './store.ts'

/** What is kept of blobs at most, each and all together: small layers, which are sent right after. */
const BLOB_LIMIT_BYTES = 64 << 20

/** Blobs above this go to the temporary folder where there is one. */
const HELD_BLOB_BYTES = 1 << 20

/** A blob in memory, or in the temporary folder. */
type Held = Buffer | { readonly path: string; readonly length: number }

/**
 * A store that lives as long as the process and never touches the disk, for builds that keep nothing.
 *
 * Small answers are kept as in any store. It has no folder: what needs one has to be refused before.
 *
 * @param temporaryFolder  for what is too much to hold, such as tables for lazy pulling; whoever made it removes it
 */
export function fleetingStore(temporaryFolder?: string): Store {
  const blobs = new Map<Digest, Held>()
  const caches = new Map<string, Cache>()
  const turns = new Map<string, Promise<unknown>>()
  const read = (digest: Digest): Held => {
    const held = blobs.get(digest)
    if (held !== undefined) return held
    throw new BuildError('FILE_UNREADABLE', `A build without a store has not kept ${digest}`)
  }
  return {
    folder: '',
    temporaryFolder,
    path: () => {
      throw new TypeError('A store in memory has no files')
    },
    has: async (digest) => blobs.get(digest)?.length,
    blob: ({ digest }) => {
      return async function* (options) {
        const held = read(digest)
        yield* (Buffer.isBuffer(held) ? openBytes(held) : openPath(held.path))(options)
      }
    },
    openFile: async (digest) => {
      const held = read(digest)
      return Buffer.isBuffer(held) ? bytesAccess(held) : openFile(held.path)
    },
    put: (stream, expected) => putInto(blobs, stream, expected, temporaryFolder),
    putHashed: ({ bytes }) => putInto(blobs, bytes, undefined, temporaryFolder),
    putProven: async (stream, expected) => void (await putInto(blobs, stream, expected, temporaryFolder)),
    cache: (space) => {
      const cache = caches.get(space) ?? memoryCache()
      caches.set(space, cache)
      return cache
    },
    alone: async (name, work) => {
      const before = turns.get(name)
      // Whatever became of the one before, it is over; its own caller hears of it.
      const turn = (before ?? Promise.resolve()).catch(() => {}).then(() => work(before !== undefined))
      turns.set(name, turn)
      return turn
    },
  }
}

async function putInto(
  blobs: Map<Digest, Held>,
  stream: AsyncIterable<Uint8Array>,
  expected: Expected | undefined,
  folder: string | undefined,
): Promise<Pick<Descriptor, 'digest' | 'size'>> {
  const proven = expected === undefined ? stream : verify(stream, expected, 'the download')
  const { bytes, made } = hashedStream(proven)
  const held = await (folder === undefined ? holdAll(bytes, blobs) : holdStart(bytes, folder))
  const { digest, size } = made()
  blobs.set(digest, held)
  return { digest, size }
}

async function holdAll(bytes: AsyncIterable<Uint8Array>, blobs: ReadonlyMap<Digest, Held>): Promise<Buffer> {
  const held = [...blobs.values()].reduce((sum, { length }) => sum + length, 0)
  return collect(copied(bytes), Math.max(0, BLOB_LIMIT_BYTES - held)).catch((error: unknown) => {
    if (!(error instanceof RangeError)) throw error
    throw new BuildError('NOT_SUPPORTED', 'A build without a store would have to keep too much in memory', {
      hint: 'Build without --no-store.',
      cause: error,
    })
  })
}

/** Keeps a small blob in memory, and writes another one to a file. @throws BuildError DISK_FULL, FILE_UNWRITABLE */
async function holdStart(bytes: AsyncIterable<Uint8Array>, folder: string): Promise<Held> {
  const start: Buffer[] = []
  let length = 0
  let file: FileHandle | undefined
  const path = join(folder, temporaryName('.blob'))
  try {
    for await (const chunk of bytes) {
      length += chunk.length
      start.push(Buffer.from(chunk))
      if (length <= HELD_BLOB_BYTES) continue
      file ??= await open(path, 'wx', 0o600)
      for (const held of start.splice(0)) await writeAll(file, held)
    }
  } catch (error) {
    throw explainWriteError(error, path)
  } finally {
    await file?.close()
  }
  return file === undefined ? Buffer.concat(start) : { path, length }
}
