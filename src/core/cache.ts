/** A place for small answers that can be asked again: index pages, metadata, archive lists. Losing an entry is harmless. */
export interface Cache {
  get(key: string): Promise<Buffer | undefined>
  set(key: string, bytes: Uint8Array): Promise<void>
}

/** A cache that lives as long as the process. */
export function memoryCache(): Cache {
  const entries = new Map<string, Buffer>()
  return {
    get: async (key) => entries.get(key),
    set: async (key, bytes) => void entries.set(key, Buffer.from(bytes)),
  }
}
