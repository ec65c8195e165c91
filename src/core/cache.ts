/** A place for small answers that can be asked again: index pages, metadata, archive lists. Losing an entry is harmless. */
export interface Cache {
  get(key: string): Promise<Buffer | undefined>
  set(key: string, bytes: Uint8Array): Promise<void>
}

/** Larger entries are not held in memory: an archive's index of 7 MB is asked for once. */
const MOST_BYTES = 1 << 20

/** A cache that lives as long as the process. */
export function memoryCache(): Cache {
  const entries = new Map<string, Buffer>()
  return {
    get: async (key) => entries.get(key),
    // In memory of its own: a small copy by Buffer is part of a piece of 64 KiB (Node 24), which is held as long as the entry.
    set: async (key, bytes) => {
      if (bytes.length <= MOST_BYTES) entries.set(key, Buffer.from(Uint8Array.from(bytes).buffer))
      else entries.delete(key)
    },
  }
}
