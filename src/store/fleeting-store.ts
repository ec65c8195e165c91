import type { Descriptor, Digest } from 'oci-spec-types'
import { bytesAccess, collect, copied, openBytes } from '../core/bytes.ts'
import { memoryCache, type Cache } from '../core/cache.ts'
import { digestOf, verify, type Expected } from '../core/digest.ts'
import { BuildError } from '../core/errors.ts'
import type { Store } from './store.ts'

/** What is kept of blobs at most, each and all together: small layers, which are sent right after. */
const BLOB_LIMIT_BYTES = 64 << 20

/**
 * A store that lives as long as the process and never touches the disk, for builds that keep nothing.
 *
 * Small answers are kept as in any store. It has no folder: what needs one has to be refused before.
 */
export function fleetingStore(): Store {
  const blobs = new Map<Digest, Buffer>()
  const caches = new Map<string, Cache>()
  const turns = new Map<string, Promise<unknown>>()
  const read = (digest: Digest): Buffer => {
    const bytes = blobs.get(digest)
    if (bytes !== undefined) return bytes
    throw new BuildError('FILE_UNREADABLE', `A build without a store has not kept ${digest}`)
  }
  return {
    folder: '',
    temporaryFolder: undefined,
    path: () => {
      throw new TypeError('A store in memory has no files')
    },
    has: async (digest) => blobs.get(digest)?.length,
    blob: ({ digest }) => {
      return async function* (options) {
        yield* openBytes(read(digest))(options)
      }
    },
    openFile: async (digest) => bytesAccess(read(digest)),
    put: (stream, expected) => putInto(blobs, stream, expected),
    putHashed: ({ bytes }) => putInto(blobs, bytes, undefined),
    putProven: async (stream, expected) => void (await putInto(blobs, stream, expected)),
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
  blobs: Map<Digest, Buffer>,
  stream: AsyncIterable<Uint8Array>,
  expected: Expected | undefined,
): Promise<Pick<Descriptor, 'digest' | 'size'>> {
  const proven = expected === undefined ? stream : verify(stream, expected, 'the download')
  const held = [...blobs.values()].reduce((sum, { length }) => sum + length, 0)
  const bytes = await collect(copied(proven), Math.max(0, BLOB_LIMIT_BYTES - held)).catch((error: unknown) => {
    if (!(error instanceof RangeError)) throw error
    throw new BuildError('NOT_SUPPORTED', 'A build without a store would have to keep too much in memory', {
      hint: 'Build without --no-store.',
      cause: error,
    })
  })
  const digest = digestOf(bytes)
  blobs.set(digest, bytes)
  return { digest, size: bytes.length }
}
