import { OCI, type Descriptor, type Digest } from 'oci-spec-types'
import { readParts, type ZtocParts } from '../../layers/ztoc/spill.ts'
import { ZTOC_VERSION } from '../../layers/ztoc/ztoc.ts'
import type { Store } from '../store/store.ts'

/** A table as it lies in the store. */
export type StoredZtoc = Pick<Descriptor, 'digest' | 'size'>

/** Tables for lazy pulling, made once for a layer. */
export interface ZtocTables {
  /** The table of a layer, when it and its bytes are there. */
  find(layer: Digest): Promise<StoredZtoc | undefined>
  keep(layer: Digest, ztoc: ZtocParts): Promise<StoredZtoc>
}

/** Smaller layers are pulled sooner than asked for in parts; the reference's own limit. */
const MIN_LAYER_BYTES = 10 * 2 ** 20

/** Whether a layer is to have a table. */
export function isIndexable({ mediaType, size }: Descriptor): boolean {
  return mediaType === OCI.layerGzip && size >= MIN_LAYER_BYTES
}

/** The tables of a store. */
export function ztocTables(store: Store): ZtocTables {
  const tables = store.cache('ztocs')
  const keyOf = (layer: Digest): string => `${ZTOC_VERSION} ${layer}`
  return {
    find: async (layer) => {
      const found = parseFound(await tables.get(keyOf(layer)))
      return found !== undefined && (await store.has(found.digest)) === found.size ? found : undefined
    },
    keep: async (layer, ztoc) => {
      const stored = await store.put(readParts(ztoc))
      await tables.set(keyOf(layer), Buffer.from(JSON.stringify(stored)))
      return stored
    },
  }
}

/** Our own cache entry; anything odd about it means that there is none. */
function parseFound(bytes: Buffer | undefined): StoredZtoc | undefined {
  if (bytes === undefined) return undefined
  try {
    const { digest, size } = JSON.parse(bytes.toString('utf8')) as Partial<Descriptor>
    return digest !== undefined && size !== undefined ? { digest, size } : undefined
  } catch {
    // Our own entry, damaged: made anew.
    return undefined
  }
}
