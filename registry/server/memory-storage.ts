import { randomUUID } from 'node:crypto'
import type { Digest, Index } from 'oci-spec-types'
import type { OpenBlob, Storage, UploadFile } from './storage.ts'

/** The bytes of a blob, in the pieces they came in. */
type Pieces = readonly Uint8Array[]

interface MemoryUpload {
  readonly repository: string
  readonly pieces: Uint8Array[]
  touchedMs: number
}

interface MemoryRepository {
  readonly blobs: Map<Digest, Pieces>
  index: Index | undefined
  version: number
}

/** A storage that lives as long as the process; blobs are shared between repositories. */
export function memoryStorage(now: () => number = Date.now): Storage {
  const repositories = new Map<string, MemoryRepository>()
  const uploads = new Map<string, MemoryUpload>()

  const repository = (name: string): MemoryRepository => {
    const found = repositories.get(name)
    if (found !== undefined) return found
    const made: MemoryRepository = { blobs: new Map(), index: undefined, version: 0 }
    repositories.set(name, made)
    return made
  }
  const blob = (name: string, digest: Digest): Pieces | undefined => repositories.get(name)?.blobs.get(digest)

  return {
    repositories: async () => [...repositories.keys()].sort(),

    sizeOf: async (name, digest) => {
      const pieces = blob(name, digest)
      return pieces === undefined ? undefined : sizeOf(pieces)
    },
    open: async (name, digest) => {
      const pieces = blob(name, digest)
      return pieces === undefined ? undefined : openPieces(pieces)
    },
    write: async (name, digest, bytes) => void repository(name).blobs.set(digest, [Buffer.from(bytes)]),
    mount: async (name, digest, from) => {
      const candidates = from === undefined ? [...repositories.keys()] : [from]
      const pieces = candidates.map((candidate) => blob(candidate, digest)).find((found) => found !== undefined)
      if (pieces !== undefined) repository(name).blobs.set(digest, pieces)
      return pieces !== undefined
    },
    remove: async (name, digest) => repositories.get(name)?.blobs.delete(digest) ?? false,

    readIndex: async (name, known) => {
      const found = repositories.get(name)
      if (found?.index === undefined) return undefined
      const version = String(found.version)
      return version === known ? 'unchanged' : { index: found.index, version }
    },
    writeIndex: async (name, index) => {
      const target = repository(name)
      target.index = index
      return String(++target.version)
    },

    beginUpload: async (name) => {
      const id = randomUUID()
      uploads.set(id, { repository: name, pieces: [], touchedMs: now() })
      return id
    },
    upload: async (name, id) => {
      const upload = uploads.get(id)
      if (upload === undefined || upload.repository !== name) return undefined
      return uploadFile(upload.pieces, {
        touch: () => (upload.touchedMs = now()),
        commit: (digest) => repository(name).blobs.set(digest, upload.pieces),
        end: () => uploads.delete(id),
      })
    },
    expireUploads: async (olderThanMs) => {
      for (const [id, upload] of uploads) if (upload.touchedMs < now() - olderThanMs) uploads.delete(id)
    },

    close: async () => {},
  }
}

interface UploadHooks {
  readonly touch: () => void
  readonly commit: (digest: Digest) => void
  readonly end: () => void
}

function uploadFile(pieces: Uint8Array[], hooks: UploadHooks): UploadFile {
  return {
    get sizeBytes() {
      return sizeOf(pieces)
    },
    append: async (stream, seen) => {
      hooks.touch()
      for await (const chunk of stream) {
        seen(chunk)
        pieces.push(chunk)
      }
    },
    read: () => openPieces(pieces).stream(0, sizeOf(pieces)),
    commit: async (digest) => {
      hooks.commit(digest)
      hooks.end()
    },
    discard: async () => hooks.end(),
  }
}

function sizeOf(pieces: Pieces): number {
  return pieces.reduce((size, piece) => size + piece.length, 0)
}

function openPieces(pieces: Pieces): OpenBlob {
  return {
    sizeBytes: sizeOf(pieces),
    async *stream(start, end) {
      let offset = 0
      for (const piece of pieces) {
        const part = piece.subarray(Math.max(0, start - offset), Math.max(0, end - offset))
        if (part.length > 0) yield part
        offset += piece.length
      }
    },
    close: async () => {},
  }
}
