import { isDigest, type Digest } from 'oci-spec-types'
import type { Cache } from '../core/cache.ts'

/** What a layer's inputs were once turned into. Named by the hash of those inputs. */
export interface DerivationRecord {
  readonly mediaType: string
  readonly digest: Digest
  /** Compressed, in bytes. */
  readonly size: number
  readonly diffId: Digest
}

/** Finds the record of a key; a damaged record is as good as none. */
export async function findRecord(cache: Cache, key: string): Promise<DerivationRecord | undefined> {
  const bytes = await cache.get(key)
  return bytes === undefined ? undefined : parseRecord(bytes.toString('utf8'))
}

/** Writes the record of a key. */
export async function saveRecord(cache: Cache, key: string, record: DerivationRecord): Promise<void> {
  await cache.set(key, Buffer.from(JSON.stringify(record)))
}

/** Reads a record; undefined when it is damaged. */
// Checked by hand: this lies on the path of every build that does nothing, where loading a schema library shows.
export function parseRecord(text: string): DerivationRecord | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Our own record, damaged: its layer is made again.
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { mediaType, digest, size, diffId } = value as Record<string, unknown>
  if (typeof mediaType !== 'string' || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    return undefined
  if (typeof digest !== 'string' || !isDigest(digest) || typeof diffId !== 'string' || !isDigest(diffId))
    return undefined
  return { mediaType, digest, size, diffId }
}
