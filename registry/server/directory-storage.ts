import { createHash, randomUUID } from 'node:crypto'
import { readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { digestAlgorithm, digestHex, type Digest, type Index } from 'oci-spec-types'
import { explainWriteError, writeFileAtomically } from '../../src/core/atomic-file.ts'
import { openPath } from '../../src/core/file-access.ts'
import { makeFolder } from '../../src/core/make-folder.ts'
import { appendToFile } from './append-file.ts'
import {
  flushToDisk,
  holds,
  linkOrCopy,
  openBlob,
  readIndexFile,
  removeFile,
  sizeOfFile,
  versionOf,
} from './directory-files.ts'
import { lockDirectory } from './directory-lock.ts'
import { isRepositoryNamePart } from './names.ts'
import type { OpenBlob, Storage, StoredIndex, UploadFile } from './storage.ts'

const LAYOUT = '{"imageLayoutVersion":"1.0.0"}'
const UPLOAD_ID = /^[0-9a-f-]{36}$/

/**
 * A storage in a folder: each repository is an OCI image layout of its own, `<folder>/<name>`, that other tools can
 * read and write too.
 *
 * A blob that several repositories have is one file with a hard link in each, so the file system counts its users and
 * nothing needs to be collected. See README.md for why.
 *
 * @throws BuildError FILE_UNWRITABLE when the folder cannot be used or is being served already
 */
export async function directoryStorage(folder: string): Promise<Storage> {
  try {
    await makeFolder(join(folder, UPLOADS))
  } catch (error) {
    throw explainWriteError(error, folder)
  }
  const unlock = await lockDirectory(join(folder, '.lock'))
  return new DirectoryStorage(folder, await findRepositories(folder), unlock)
}

/** No repository's name begins with a dot. */
const UPLOADS = '.uploads'

class DirectoryStorage implements Storage {
  readonly close: () => Promise<void>
  readonly #folder: string
  readonly #uploads: string
  /** Repositories that there are; other programs may have added more. */
  readonly #known: Set<string>

  constructor(folder: string, known: readonly string[], unlock: () => Promise<void>) {
    this.#folder = folder
    this.#uploads = join(folder, UPLOADS)
    this.#known = new Set(known)
    this.close = unlock
  }

  async repositories(): Promise<string[]> {
    const found = await findRepositories(this.#folder)
    for (const name of found) this.#known.add(name)
    return found
  }

  sizeOf(name: string, digest: Digest): Promise<number | undefined> {
    return sizeOfFile(this.#blobPath(name, digest))
  }

  open(name: string, digest: Digest): Promise<OpenBlob | undefined> {
    return openBlob(this.#blobPath(name, digest))
  }

  async write(name: string, digest: Digest, bytes: Uint8Array): Promise<void> {
    const path = this.#blobPath(name, digest)
    if (await holds(path, bytes)) return
    await this.#prepare(name, path)
    await this.#writeFile(path, bytes)
  }

  async mount(name: string, digest: Digest, from: string | undefined): Promise<boolean> {
    const source = from === undefined ? await this.#findBlob(digest) : this.#blobPath(from, digest)
    if (source === undefined || (await sizeOfFile(source)) === undefined) return false
    const path = this.#blobPath(name, digest)
    await this.#prepare(name, path)
    return this.#link(source, path)
  }

  remove(name: string, digest: Digest): Promise<boolean> {
    return removeFile(this.#blobPath(name, digest))
  }

  readIndex(name: string, known: string | undefined): Promise<StoredIndex | 'unchanged' | undefined> {
    return readIndexFile(join(this.#folder, name, 'index.json'), known)
  }

  async writeIndex(name: string, index: Index): Promise<string> {
    const path = join(this.#folder, name, 'index.json')
    await this.#prepare(name, path)
    const layout = join(this.#folder, name, 'oci-layout')
    if ((await sizeOfFile(layout)) === undefined) await this.#writeFile(layout, LAYOUT)
    await this.#writeFile(path, JSON.stringify(index))
    return (await versionOf(path)) ?? ''
  }

  async beginUpload(name: string): Promise<string> {
    const id = randomUUID()
    await writeFile(this.#uploadPath(name, id), '', { flag: 'wx' })
    return id
  }

  async upload(name: string, id: string): Promise<UploadFile | undefined> {
    if (!UPLOAD_ID.test(id)) return undefined
    const path = this.#uploadPath(name, id)
    const sizeBytes = await sizeOfFile(path)
    return sizeBytes === undefined
      ? undefined
      : uploadFile(path, sizeBytes, (digest) => this.#commit(path, name, digest))
  }

  async expireUploads(olderThanMs: number): Promise<void> {
    for (const entry of await readdir(this.#uploads)) {
      const path = join(this.#uploads, entry)
      const { mtimeMs } = await stat(path)
      if (mtimeMs < Date.now() - olderThanMs) await rm(path, { force: true })
    }
  }

  /** Makes an uploaded file a blob; where a repository has the blob already, one more name of it. */
  async #commit(path: string, name: string, digest: Digest): Promise<void> {
    const target = this.#blobPath(name, digest)
    await this.#prepare(name, target)
    const same = await this.#findBlob(digest)
    if (same !== undefined && (await sizeOfFile(same)) === (await sizeOfFile(path))) {
      if (same === target || (await this.#link(same, target))) return rm(path)
    }
    await flushToDisk(path)
    return rename(path, target)
  }

  #blobPath(name: string, digest: Digest): string {
    return join(this.#folder, name, 'blobs', digestAlgorithm(digest), digestHex(digest))
  }

  #uploadPath(name: string, id: string): string {
    return join(this.#uploads, `${uploadKey(name)}-${id}`)
  }

  /** Where any repository has the blob. */
  async #findBlob(digest: Digest): Promise<string | undefined> {
    for (const name of this.#known) {
      const path = this.#blobPath(name, digest)
      if ((await sizeOfFile(path)) !== undefined) return path
    }
    return undefined
  }

  async #prepare(name: string, path: string): Promise<void> {
    await makeFolder(dirname(path))
    this.#known.add(name)
  }

  #writeFile(path: string, content: string | Uint8Array): Promise<void> {
    return writeFileAtomically(path, content, { temporaryFolder: this.#uploads })
  }

  #link(source: string, target: string): Promise<boolean> {
    return linkOrCopy(source, target, join(this.#uploads, randomUUID()))
  }
}

/** Binds an upload to its repository without a second file. */
function uploadKey(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, 16)
}

async function findRepositories(folder: string, prefix = ''): Promise<string[]> {
  const entries = await readdir(join(folder, prefix), { withFileTypes: true })
  const found: string[] = []
  if (prefix !== '' && entries.some(({ name }) => name === 'blobs' || name === 'index.json')) found.push(prefix)
  for (const entry of entries) {
    if (!entry.isDirectory() || !isRepositoryNamePart(entry.name)) continue
    found.push(...(await findRepositories(folder, prefix === '' ? entry.name : `${prefix}/${entry.name}`)))
  }
  return prefix === '' ? found.sort() : found
}

function uploadFile(path: string, size: number, commit: (digest: Digest) => Promise<void>): UploadFile {
  let sizeBytes = size
  return {
    get sizeBytes() {
      return sizeBytes
    },
    append: async (stream, seen) => {
      try {
        await appendToFile(path, sizeBytes, stream, seen)
      } finally {
        sizeBytes = (await sizeOfFile(path)) ?? 0
      }
    },
    read: () => openPath(path)(),
    commit,
    discard: () => rm(path, { force: true }),
  }
}
