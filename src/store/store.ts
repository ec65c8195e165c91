import { readFile, rm, stat, utimes, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { digestAlgorithm, digestHex, type Descriptor, type Digest, type DigestAlgorithm } from 'oci-spec-types'
import { explainWriteError, writeAtomically, writeFileAtomically } from '../core/atomic-file.ts'
import type { Open, OpenOptions, RandomAccess } from '../core/bytes.ts'
import type { Cache } from '../core/cache.ts'
import { Digester, digesting, digestOf, verify, type Expected, type HashedStream } from '../core/digest.ts'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { openFile, openPath } from '../core/file-access.ts'
import { makeFolder } from '../core/make-folder.ts'
import { writeStream } from '../core/write-stream.ts'
import { openEntry, sealEntry } from './entry.ts'
import { storeLocation } from './location.ts'
import { oneAtATime, type WaitOptions } from './single-flight.ts'

/**
 * Blobs are not forced to the disk one by one: on a slow disk that is most of a build. A power cut may leave a short file,
 * which the next build sees by its size, and whoever reads it by its digest.
 */
const NOT_FLUSHED = { durable: false }

/**
 * The local content-addressed store.
 *
 * Blobs lie under their digest and are complete or absent; small answers (records, index pages) lie under a hash of
 * their key. Several processes may use one store at once: every write is a temporary file and a rename, and equal
 * content has one name. Losing any of it costs time, never correctness.
 */
export class Store {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  /** Opens (and makes) the store in a folder; the default place unless given. */
  static async open(given?: string): Promise<Store> {
    const folder = given ?? (await storeLocation())
    try {
      await makeFolder(join(folder, 'tmp'))
    } catch (error) {
      throw explainWriteError(error, folder, 'Name a folder that can be written in LAYERWRIGHT_CACHE.')
    }
    return new Store(folder)
  }

  /** Where a blob lies, or would lie. */
  path(digest: Digest): string {
    return join(this.folder, 'blobs', digestAlgorithm(digest), digestHex(digest))
  }

  /** The size of a blob in bytes, undefined when it is absent. Marks it as used. */
  async has(digest: Digest): Promise<number | undefined> {
    const path = this.path(digest)
    try {
      const { size } = await stat(path)
      const now = new Date()
      // Prune goes by this time. What it took away since is not there; a read-only store is still good for reading.
      await utimes(path, now, now).catch((error: unknown) => {
        if (systemErrorCode(error) === 'ENOENT') throw error
      })
      return size
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined
      throw error
    }
  }

  /**
   * Streams a blob and proves it on the way.
   *
   * A damaged blob is removed before the error, so that the next build makes it again.
   *
   * @throws BuildError STORE_CORRUPT at the end of the stream; FILE_UNREADABLE when the blob is absent
   */
  blob(descriptor: Expected): Open {
    const path = this.path(descriptor.digest)
    return async function* (options: OpenOptions = {}) {
      try {
        // A digest proves a whole blob only; a part of one is proven by who asked for it, and some prove the whole.
        if (options.offset || options.isVerified === true) yield* openPath(path)(options)
        else yield* verify(openPath(path)(options), descriptor, `the stored blob ${descriptor.digest}`)
      } catch (error) {
        if (!(error instanceof BuildError)) throw explainReadError(error, path)
        await rm(path, { force: true })
        throw new BuildError('STORE_CORRUPT', `The store held a damaged copy of ${descriptor.digest}`, {
          hint: 'The damaged copy was removed. Run the same command again; `layerwright cache verify` removes all others that are damaged.',
          cause: error,
        })
      }
    }
  }

  /** Opens a blob for reading at any place, unproven. @throws BuildError FILE_UNREADABLE */
  async openFile(digest: Digest): Promise<RandomAccess> {
    const path = this.path(digest)
    try {
      return await openFile(path)
    } catch (error) {
      throw explainReadError(error, path)
    }
  }

  /**
   * Stores a stream.
   *
   * @param expected refuses other bytes; the stream is not read when the blob is there already
   * @throws BuildError DIGEST_MISMATCH, SIZE_MISMATCH, DISK_FULL
   */
  async put(stream: AsyncIterable<Uint8Array>, expected?: Expected): Promise<Pick<Descriptor, 'digest' | 'size'>> {
    if (expected !== undefined && (await this.has(expected.digest)) === expected.size) {
      await closeUnread(stream)
      return { digest: expected.digest, size: expected.size }
    }
    const algorithm = expected === undefined ? 'sha256' : digestAlgorithm(expected.digest)
    const checked = expected === undefined ? stream : verify(stream, expected, 'the download')
    return writeBlob(this.folder, algorithm, async (file) => {
      const digester = new Digester(algorithm)
      await writeStream(file, digesting(checked, digester))
      return { digest: digester.digest(), size: digester.sizeBytes }
    })
  }

  /** Stores a stream that somebody hashes on its way. @throws BuildError DISK_FULL */
  putHashed({ bytes, made }: HashedStream): Promise<Pick<Descriptor, 'digest' | 'size'>> {
    return writeBlob(this.folder, 'sha256', async (file) => {
      await writeStream(file, bytes)
      return made()
    })
  }

  /**
   * Stores a stream under a digest that it is compared with elsewhere: it must fail at its end when it is another one.
   *
   * @throws BuildError SIZE_MISMATCH, DISK_FULL
   */
  async putProven(stream: AsyncIterable<Uint8Array>, { digest, size }: Expected): Promise<void> {
    await writeAtomically(
      join(this.folder, 'blobs', digestAlgorithm(digest), digestHex(digest)),
      async (file) => {
        const written = await writeStream(file, stream)
        if (written !== size) throw new BuildError('SIZE_MISMATCH', `${written} bytes came for ${digest}, not ${size}`)
      },
      { temporaryFolder: join(this.folder, 'tmp'), ...NOT_FLUSHED },
    )
  }

  /** Does work while nobody else who shares the store does work of this name: see {@link oneAtATime}. */
  alone<T>(name: string, work: (hasWaited: boolean) => Promise<T>, options?: WaitOptions): Promise<T> {
    return oneAtATime(this.folder, name, work, options)
  }

  /** For files that are of no use once this process has ended: what a killed one leaves there is removed by the next. Undefined without a disk. */
  get temporaryFolder(): string | undefined {
    return join(this.folder, 'tmp')
  }

  /** A named space of small entries. One that is damaged is as good as none. */
  cache(space: string): Cache {
    const folder = join(this.folder, 'cache', space)
    const temporaryFolder = join(this.folder, 'tmp')
    const place = (key: string): string => {
      // The version of the form: programs from before and after share a store, and take nothing of each other for an answer.
      const hex = digestHex(digestOf(`sealed ${key}`))
      return join(folder, hex.slice(0, 2), hex.slice(2))
    }
    return {
      get: async (key) => {
        const sealed = await readOptional(place(key))
        return sealed && openEntry(sealed)
      },
      set: (key, bytes) => writeFileAtomically(place(key), sealEntry(bytes), { temporaryFolder, durable: false }),
    }
  }
}

/** Writes a blob that is named by what `fill` wrote. */
function writeBlob(
  store: string,
  algorithm: DigestAlgorithm,
  fill: (file: FileHandle) => Promise<Expected>,
): Promise<Expected> {
  const target = { folder: join(store, 'blobs', algorithm), name: ({ digest }: Expected) => digestHex(digest) }
  return writeAtomically(target, fill, { temporaryFolder: join(store, 'tmp'), ...NOT_FLUSHED })
}

async function closeUnread(stream: AsyncIterable<Uint8Array>): Promise<void> {
  await stream[Symbol.asyncIterator]().return?.()
}

async function readOptional(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw explainReadError(error, path)
  }
}

function explainReadError(error: unknown, path: string): unknown {
  const code = systemErrorCode(error)
  if (code === undefined) return error
  return new BuildError('FILE_UNREADABLE', `Cannot read \`${path}\`: ${(error as Error).message}`, { cause: error })
}
