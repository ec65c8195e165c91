import { createHash } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import pLimit from 'p-limit'
import type { Cache } from './cache.ts'
import { groupBy } from './group-by.ts'

/** A cache that writes small entries together. */
export interface PackedCache extends Cache {
  /** Writes the small entries that were set since. What is not flushed is lost, as any entry may be. */
  flush(): Promise<void>
}

/** Smaller entries share a file: alone, each takes a block of the disk, and a name. */
const SMALL_BYTES = 4096

/** How many files small entries are spread over, by the hash of their keys. */
const PACKS = 32

/** A file is not filled beyond this: what was written first goes first. 16 MiB of small entries in all. */
const PACK_BYTES = 512 << 10

/**
 * Puts small entries of a cache together, many to an entry, so that thousands of answers take the room of their bytes.
 *
 * A pack is an entry like any other: complete or absent, and losing it costs time. Two processes that write one pack at the
 * same time keep the answers of the one that comes last.
 */
export function packedCache(files: Cache): PackedCache {
  // An entry that was small and is not any more has no bytes here: what the pack says of it is old.
  const fresh = new Map<string, Buffer | undefined>()
  const packs = new Map<string, Promise<Pack>>()
  const packOf = (name: string): Promise<Pack> => {
    const key = packKey(name)
    const pack = packs.get(key) ?? files.get(key).then(parsePack)
    packs.set(key, pack)
    return pack
  }
  return {
    get: async (key) => {
      const name = entryName(key)
      const held = fresh.has(name) ? fresh.get(name) : (await packOf(name)).get(name)
      return held ?? files.get(key)
    },
    set: async (key, bytes) => {
      const isSmall = bytes.length < SMALL_BYTES
      fresh.set(entryName(key), isSmall ? Buffer.from(bytes) : undefined)
      if (!isSmall) await files.set(key, bytes)
    },
    flush: () =>
      oneByOne(async () => {
        const changed = groupBy([...fresh], ([name]) => packKey(name))
        fresh.clear()
        packs.clear()
        await Promise.all([...changed].map(([key, entries]) => updatePack(files, key, entries)))
      }),
  }
}

/** Two caches of one process over the same files must not overwrite what the other has just added. */
const oneByOne = pLimit(1)

/** Entries by name, in the order in which they were written. */
type Pack = ReadonlyMap<string, Buffer>

async function updatePack(
  files: Cache,
  key: string,
  entries: readonly (readonly [string, Buffer | undefined])[],
): Promise<void> {
  const pack = new Map(parsePack(await files.get(key)))
  const before = pack.size
  for (const [name, bytes] of entries) {
    pack.delete(name)
    if (bytes !== undefined) pack.set(name, bytes)
  }
  // Entries that are too large for a pack, and were never in it, change nothing.
  if (pack.size === before && entries.every(([, bytes]) => bytes === undefined)) return
  await files.set(key, formatPack(withinBounds(pack)))
}

function withinBounds(pack: Pack): Pack {
  let excess = [...pack.values()].reduce((sum, { length }) => sum + length, 0) - PACK_BYTES
  const kept = new Map(pack)
  for (const [name, { length }] of pack) {
    if (excess <= 0) break
    kept.delete(name)
    excess -= length
  }
  return kept
}

/** A line of JSON with names and sizes, then the entries one after the other; as gzip, which proves them, too. */
function formatPack(pack: Pack): Buffer {
  const sizes = [...pack].map(([name, { length }]) => [name, length])
  return gzipSync(Buffer.concat([Buffer.from(`${JSON.stringify(sizes)}\n`), ...pack.values()]), { level: 1 })
}

/** A damaged pack is as good as none. */
function parsePack(packed: Buffer | undefined): Pack {
  const bytes = unpack(packed)
  if (bytes === undefined) return new Map()
  let at = bytes.indexOf(10) + 1
  const sizes = JSON.parse(bytes.toString('utf8', 0, at)) as readonly (readonly [string, number])[]
  return new Map(sizes.map(([name, length]) => [name, bytes.subarray(at, (at += length))]))
}

function unpack(packed: Buffer | undefined): Buffer | undefined {
  try {
    return packed && gunzipSync(packed)
  } catch {
    // Our own entry, damaged: as good as none.
    return undefined
  }
}

/** A hash, since a key may be long. */
function entryName(key: string): string {
  return createHash('sha256').update(key).digest('base64url')
}

function packKey(name: string): string {
  return `pack ${(Buffer.from(name.slice(0, 4), 'base64url')[0] ?? 0) % PACKS}`
}
