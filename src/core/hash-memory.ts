import type { BigIntStats } from 'node:fs'
import type { Cache } from './cache.ts'

/** How long a file must have lain untouched before its hash is remembered: a later write could leave its times as they are. */
const SETTLED_MS = 3000

/**
 * The hashes of a folder's files by place, size, times and inode, as git's index has them.
 *
 * The time of a file's last change of state cannot be set by hand and is part of the stamp: a file of the same size whose
 * time of modification was put back is read again. What was touched within the last seconds is never remembered.
 */
export class HashMemory {
  readonly #cache: Cache
  readonly #folder: string
  readonly #now: () => number
  readonly #known: Map<string, readonly [stamp: string, sha256: string]>
  #learned = 0

  private constructor(
    cache: Cache,
    folder: string,
    now: () => number,
    known: Map<string, readonly [stamp: string, sha256: string]>,
  ) {
    this.#cache = cache
    this.#folder = folder
    this.#now = now
    this.#known = known
  }

  /** What is remembered of a folder. */
  static async load(cache: Cache, folder: string, now: () => number = Date.now): Promise<HashMemory> {
    return new HashMemory(cache, folder, now, parse(await cache.get(keyOf(folder))))
  }

  /** The hash of a file that was not touched since it was learned. */
  find(path: string, stats: BigIntStats): string | undefined {
    const known = this.#known.get(path)
    return known?.[0] === stampOf(stats) ? known[1] : undefined
  }

  /** @param stats of before the file was read */
  learn(path: string, stats: BigIntStats, sha256: string): void {
    if (!isSettled(stats, this.#now())) return
    this.#known.set(path, [stampOf(stats), sha256])
    this.#learned++
  }

  /** Keeps what was learned. */
  async save(): Promise<void> {
    if (this.#learned === 0) return
    this.#learned = 0
    const entries = [...this.#known].map(([path, [stamp, sha256]]) => [path, stamp, sha256])
    await this.#cache.set(keyOf(this.#folder), Buffer.from(JSON.stringify(entries)))
  }
}

/** Whether a file lay untouched for a while. */
export function isSettled({ mtimeMs, ctimeMs }: BigIntStats, now: number): boolean {
  return now - Number(mtimeMs > ctimeMs ? mtimeMs : ctimeMs) > SETTLED_MS
}

/** What is another for another content, as far as a file system can tell. */
export function stampOf({ size, mtimeNs, ctimeNs, ino, dev }: BigIntStats): string {
  return `${size} ${mtimeNs} ${ctimeNs} ${ino} ${dev}`
}

function keyOf(folder: string): string {
  return `files of ${folder}`
}

/** Our own cache entry; anything odd about it means that nothing is remembered. */
function parse(bytes: Buffer | undefined): Map<string, readonly [string, string]> {
  const known = new Map<string, readonly [string, string]>()
  if (bytes === undefined) return known
  try {
    for (const [path, stamp, sha256] of JSON.parse(bytes.toString('utf8')) as readonly (readonly string[])[]) {
      if (path !== undefined && stamp !== undefined && /^[0-9a-f]{64}$/.test(sha256 ?? ''))
        known.set(path, [stamp, sha256 ?? ''])
    }
  } catch {
    return new Map()
  }
  return known
}
