import { gunzipSync, gzipSync } from 'node:zlib'
import type { Cache } from './cache.ts'

/**
 * Keeps entries of a cache compressed: what the world said of thousands of packages is megabytes of JSON, and a quarter of
 * that on the disk. An entry that is damaged, or was written by whoever did not compress, is as good as none.
 */
export function compressedCache(cache: Cache): Cache {
  return {
    get: async (key) => unpack(await cache.get(key)),
    set: (key, bytes) => cache.set(key, gzipSync(bytes, { level: 1 })),
  }
}

function unpack(packed: Buffer | undefined): Buffer | undefined {
  try {
    return packed && gunzipSync(packed)
  } catch {
    // As good as none: see above.
    return undefined
  }
}
