import { proven } from '../src/core/bytes.ts'
import { findRecord, saveRecord, type DerivationRecord } from '../src/store/records.ts'
import type { Store } from '../src/store/store.ts'
import { hashedBlob } from './layer.ts'
import type { LayerStore, StoredLayer } from './stored-layer.ts'

/** The local store as a place for layers: blobs by digest, and a record of what each key became. */
export function layerStore(store: Store): LayerStore {
  const records = store.cache('layers')
  const stored = ({ mediaType, digest, size, diffId }: DerivationRecord): StoredLayer => ({
    descriptor: { mediaType, digest, size },
    diffId,
    open: store.blob({ digest, size }),
  })
  const find = async (key: string): Promise<StoredLayer | undefined> => {
    const record = await findRecord(records, key)
    if (record === undefined || (await store.has(record.digest)) !== record.size) return undefined
    return stored(record)
  }
  return {
    notes: store.cache('layer-notes'),
    alone: (key, work, signal) => store.alone(key, work, { signal }),
    find,
    findHere: find,
    save: async (key, stream) => {
      const { digest, size } = await store.putHashed(hashedBlob(stream))
      const record = { mediaType: stream.mediaType, digest, size, diffId: stream.diffId() }
      await saveRecord(records, key, record)
      const layer = stored(record)
      // Hashed a moment ago: a destination that compares it, too, is proof enough.
      return { ...layer, open: proven(layer.open) }
    },
  }
}
