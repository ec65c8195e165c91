import { constants } from 'node:fs'
import { copyFile, link, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createHash, randomUUID } from 'node:crypto'
import { dirname, join } from 'node:path'
import { digestAlgorithm, digestHex, type Digest, type Index } from 'oci-spec-types'
import { indexSchema } from 'oci-spec-types/schemas'
import { explainWriteError, writeFileAtomically } from '../../src/core/atomic-file.ts'
import { BuildError, systemErrorCode } from '../../src/core/errors.ts'
import { openPath } from '../../src/core/file-access.ts'
import { appendToFile } from './append-file.ts'
import { lockDirectory } from './directory-lock.ts'
import { isRepositoryNamePart } from './names.ts'
import type { OpenBlob, Storage, StoredIndex, UploadFile } from './storage.ts'

const LAYOUT = '{"imageLayoutVersion":"1.0.0"}'
const READ_BYTES = 1 << 20
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
  const uploads = join(folder, '.uploads')
  try {
    await mkdir(uploads, { recursive: true })
  } catch (error) {
    throw explainWriteError(error, folder)
  }
  const unlock = await lockDirectory(join(folder, '.lock'))
  const known = new Set(await findRepositories(folder))

  const blobPath = (name: string, digest: Digest): string =>
    join(folder, name, 'blobs', digestAlgorithm(digest), digestHex(digest))
  const uploadPath = (name: string, id: string): string => join(uploads, `${uploadKey(name)}-${id}`)

  /** Where any repository has the blob. */
  const findBlob = async (digest: Digest): Promise<string | undefined> => {
    for (const name of known)
      if ((await sizeOfFile(blobPath(name, digest))) !== undefined) return blobPath(name, digest)
    return undefined
  }
  const prepare = async (name: string, path: string): Promise<void> => {
    await mkdir(dirname(path), { recursive: true })
    known.add(name)
  }

  return {
    repositories: async () => {
      const found = await findRepositories(folder)
      for (const name of found) known.add(name)
      return found
    },

    sizeOf: (name, digest) => sizeOfFile(blobPath(name, digest)),
    open: (name, digest) => openBlob(blobPath(name, digest)),
    write: async (name, digest, bytes) => {
      const path = blobPath(name, digest)
      if (await holds(path, bytes)) return
      await prepare(name, path)
      await writeFileAtomically(path, bytes, { temporaryFolder: uploads })
    },
    mount: async (name, digest, from) => {
      const source = from === undefined ? await findBlob(digest) : blobPath(from, digest)
      if (source === undefined || (await sizeOfFile(source)) === undefined) return false
      const path = blobPath(name, digest)
      await prepare(name, path)
      return linkOrCopy(source, path, join(uploads, randomUUID()))
    },
    remove: (name, digest) => removeFile(blobPath(name, digest)),

    readIndex: (name, version) => readIndexFile(join(folder, name, 'index.json'), version),
    writeIndex: async (name, index) => {
      const path = join(folder, name, 'index.json')
      await prepare(name, path)
      const layout = join(folder, name, 'oci-layout')
      if ((await sizeOfFile(layout)) === undefined)
        await writeFileAtomically(layout, LAYOUT, { temporaryFolder: uploads })
      await writeFileAtomically(path, JSON.stringify(index), { temporaryFolder: uploads })
      return (await versionOf(path)) ?? ''
    },

    beginUpload: async (name) => {
      const id = randomUUID()
      await writeFile(uploadPath(name, id), '', { flag: 'wx' })
      return id
    },
    upload: async (name, id) => {
      if (!UPLOAD_ID.test(id)) return undefined
      const path = uploadPath(name, id)
      const sizeBytes = await sizeOfFile(path)
      if (sizeBytes === undefined) return undefined
      return uploadFile(path, sizeBytes, async (digest) => {
        const target = blobPath(name, digest)
        await prepare(name, target)
        const same = await findBlob(digest)
        if (same !== undefined && (await sizeOfFile(same)) === (await sizeOfFile(path))) {
          if (same === target || (await linkOrCopy(same, target, join(uploads, randomUUID())))) return rm(path)
        }
        await flushToDisk(path)
        return rename(path, target)
      })
    },
    expireUploads: async (olderThanMs) => {
      for (const entry of await readdir(uploads)) {
        const path = join(uploads, entry)
        const { mtimeMs } = await stat(path)
        if (mtimeMs < Date.now() - olderThanMs) await rm(path, { force: true })
      }
    },

    close: unlock,
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

async function sizeOfFile(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path)
    return found.isFile() ? found.size : undefined
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
}

async function openBlob(path: string): Promise<OpenBlob | undefined> {
  try {
    const file = await open(path, 'r')
    const { size } = await file.stat()
    return {
      sizeBytes: size,
      stream: (start, end) =>
        end > start
          ? file.createReadStream({ start, end: end - 1, autoClose: false, highWaterMark: READ_BYTES })
          : none(),
      close: () => file.close(),
    }
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
}

async function* none(): AsyncGenerator<Uint8Array> {}

async function holds(path: string, bytes: Uint8Array): Promise<boolean> {
  return (await sizeOfFile(path)) === bytes.length && (await readFile(path)).equals(bytes)
}

/** @returns false when the source has gone */
async function linkOrCopy(source: string, target: string, temporary: string): Promise<boolean> {
  try {
    await link(source, target)
    return true
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'EEXIST') return true
    if (code === 'ENOENT') return false
    // No hard links here (exFAT, some network file systems), too many, or another file system below the folder.
    if (!['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK', 'EXDEV'].includes(code ?? '')) throw error
  }
  try {
    await copyFile(source, temporary, constants.COPYFILE_FICLONE)
    await flushToDisk(temporary)
    await rename(temporary, target)
    return true
  } finally {
    await rm(temporary, { force: true })
  }
}

async function flushToDisk(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.datasync()
  } finally {
    await file.close()
  }
}

async function removeFile(path: string): Promise<boolean> {
  try {
    await rm(path)
    return true
  } catch (error) {
    if (isAbsence(error)) return false
    throw error
  }
}

async function readIndexFile(path: string, known: string | undefined): Promise<StoredIndex | 'unchanged' | undefined> {
  const version = await versionOf(path)
  if (version === undefined) return undefined
  if (version === known) return 'unchanged'
  try {
    return { index: indexSchema.parse(JSON.parse(await readFile(path, 'utf8'))) satisfies Index, version }
  } catch (error) {
    throw new BuildError('FILE_UNREADABLE', `Not the index of an OCI layout: \`${path}\``, { cause: error })
  }
}

/** Changes with every write of the file, ours or another program's. */
async function versionOf(path: string): Promise<string | undefined> {
  try {
    const { ino, mtimeNs, size } = await stat(path, { bigint: true })
    return `${ino}:${mtimeNs}:${size}`
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
}

function isAbsence(error: unknown): boolean {
  const code = systemErrorCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
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
