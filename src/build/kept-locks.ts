import { isDigest, type Digest } from 'oci-spec-types'
import type { Cache } from '../core/cache.ts'
import { compressedCache } from '../core/compressed-cache.ts'
import { digestOf } from '../core/digest.ts'
import type { Lock } from '../lock/lock.ts'
import { parsePortable, toPortable } from '../lock/portable.ts'

/** The locks of a store, each kept once under its digest, whoever remembers it: of thousands of packages they are large. */
export class KeptLocks {
  readonly #cache: Cache

  /** @param cache of any space; what else lies there has other keys */
  constructor(cache: Cache) {
    this.#cache = compressedCache(cache)
  }

  /** Keeps a lock of a project's folder, unless it is there; gives its name. */
  async keep(lock: Lock, folder: string): Promise<Digest> {
    const text = JSON.stringify(toPortable(lock, folder))
    const digest = digestOf(text)
    if ((await this.#textOf(digest)) === undefined) await this.#cache.set(keyOf(digest), Buffer.from(text))
    return digest
  }

  /** The lock of a name, for use in a folder; undefined when it is lost or damaged, or of another form. */
  async find(name: unknown, folder: string): Promise<Lock | undefined> {
    const text = typeof name === 'string' && isDigest(name) ? await this.#textOf(name) : undefined
    const lock = text === undefined ? undefined : parsePortable(text, folder)
    return lock?.lockVersion === 1 ? lock : undefined
  }

  async #textOf(digest: Digest): Promise<string | undefined> {
    const bytes = await this.#cache.get(keyOf(digest))
    return bytes !== undefined && digestOf(bytes) === digest ? bytes.toString('utf8') : undefined
  }
}

function keyOf(digest: Digest): string {
  return `lock ${digest}`
}
