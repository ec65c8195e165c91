import { digestAlgorithm, type Digest, type DigestAlgorithm } from 'oci-spec-types'
import { Digester } from '../../src/core/digest.ts'
import type { Storage, UploadFile } from './storage.ts'

/** Somebody who is using a session. */
interface Holder {
  readonly abandon: () => void
  readonly done: Promise<void>
}

/**
 * One upload: bytes that arrive in any number of requests and become a blob when their digest is right.
 *
 * The bytes are hashed as they arrive. After a restart the hash is lost and made again from the file.
 */
export class UploadSession {
  readonly id: string
  readonly #file: UploadFile
  #digester: Digester | undefined
  #holder: Holder | undefined
  #isOver = false
  /** Whether the last chunk was smaller than the registry's minimum, so that it can only have been the last. */
  endedShort = false

  constructor(id: string, file: UploadFile, algorithm: DigestAlgorithm = 'sha256') {
    this.id = id
    this.#file = file
    this.#digester = file.sizeBytes === 0 ? new Digester(algorithm) : undefined
  }

  /** Bytes that have arrived. */
  get sizeBytes(): number {
    return this.#file.sizeBytes
  }

  /** Whether the upload was finished or thrown away. */
  get isOver(): boolean {
    return this.#isOver
  }

  /**
   * Works on the session alone. A client comes back while its broken connection still looks alive, so the newcomer
   * ends what an earlier request was doing, and goes on from the bytes that it left.
   */
  async hold<T>(abandon: () => void, work: () => Promise<T>): Promise<T> {
    while (this.#holder !== undefined) {
      this.#holder.abandon()
      await this.#holder.done
    }
    const working = work()
    const holder = {
      abandon,
      done: working.then(
        () => {},
        () => {},
      ),
    }
    this.#holder = holder
    try {
      return await working
    } finally {
      if (this.#holder === holder) this.#holder = undefined
    }
  }

  /** Waits until no other request works on the session, at most this long. */
  async settle(timeoutMs: number): Promise<void> {
    if (this.#holder === undefined) return
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeoutMs)))
    await Promise.race([this.#holder.done, timeout])
    clearTimeout(timer)
  }

  /** Adds bytes; when the stream fails, what arrived stays. */
  async append(stream: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#file.append(stream, (chunk) => this.#digester?.update(chunk))
  }

  /**
   * Makes the bytes a blob.
   *
   * @returns the bytes' digest; when it is another than was asked for, nothing was stored. Over either way.
   */
  async finish(digest: Digest): Promise<Digest> {
    const actual = await this.#digest(digestAlgorithm(digest))
    this.#isOver = true
    if (actual === digest) await this.#file.commit(digest)
    else await this.#file.discard()
    return actual
  }

  /** Throws the bytes away. */
  async discard(): Promise<void> {
    this.#isOver = true
    await this.#file.discard()
  }

  async #digest(algorithm: DigestAlgorithm): Promise<Digest> {
    if (this.#digester?.algorithm === algorithm) return this.#digester.digest()
    const digester = new Digester(algorithm)
    for await (const chunk of this.#file.read()) digester.update(chunk)
    return digester.digest()
  }
}

/** The uploads of a registry. */
export class UploadSessions {
  readonly #storage: Storage
  readonly #sessions = new Map<string, UploadSession>()

  constructor(storage: Storage) {
    this.#storage = storage
  }

  async begin(repository: string, algorithm?: DigestAlgorithm): Promise<UploadSession> {
    const id = await this.#storage.beginUpload(repository)
    const file = await this.#storage.upload(repository, id)
    if (file === undefined) throw new Error(`The upload ${id} vanished`)
    return this.#remember(repository, new UploadSession(id, file, algorithm))
  }

  /** An upload that is not over; also one that an earlier process began. */
  async find(repository: string, id: string): Promise<UploadSession | undefined> {
    const known = this.#sessions.get(`${repository}:${id}`)
    if (known !== undefined) return known
    const file = await this.#storage.upload(repository, id)
    if (file === undefined) return undefined
    return this.#sessions.get(`${repository}:${id}`) ?? this.#remember(repository, new UploadSession(id, file))
  }

  forget(repository: string, session: UploadSession): void {
    this.#sessions.delete(`${repository}:${session.id}`)
  }

  /** Forgets what nobody touched for this long, here and in the storage. */
  async expire(olderThanMs: number): Promise<void> {
    await this.#storage.expireUploads(olderThanMs)
    for (const [key, session] of this.#sessions) {
      const [repository = '', id = ''] = key.split(':')
      if ((await this.#storage.upload(repository, id)) === undefined) this.#sessions.delete(key)
      else if (session.isOver) this.#sessions.delete(key)
    }
  }

  #remember(repository: string, session: UploadSession): UploadSession {
    this.#sessions.set(`${repository}:${session.id}`, session)
    return session
  }
}
