import { verify } from '../src/core/digest.ts'
import { isBuildError } from '../src/core/errors.ts'
import type { RemoteFile } from '../src/core/remote-file.ts'
import { findRecord, saveRecord, type DerivationRecord } from '../src/store/records.ts'
import type { Store } from '../src/store/store.ts'
import { DIRECT_BYTES } from './context.ts'
import type { LayerSpec } from './kinds/index.ts'
import { hashedBlob, type LayerStream } from './layer.ts'
import type { LayerStore, StoredLayer } from './stored-layer.ts'
import { proveStored } from './remote.ts'
import { openAgain } from './sent-layers.ts'

/** Layers whose wheels are kept. */
export interface SplicedLayers {
  /** The wheels of a key's layer when the store keeps all of them; undefined for every other layer. */
  wheelsOf(key: string): readonly RemoteFile[] | undefined
  /** Makes such a layer, with nothing checked: what comes out is compared with its digest. */
  make(key: string): Promise<LayerStream>
}

/** The wheels of a layer when all of them are small, and so are kept by a store; undefined for every other layer. */
export function keptWheels(spec: LayerSpec | undefined): readonly RemoteFile[] | undefined {
  if (spec?.kind !== 'wheels') return undefined
  return spec.wheels.every(({ sizeBytes }) => sizeBytes < DIRECT_BYTES) ? spec.wheels : undefined
}

/**
 * A store of layers that does not keep what it can splice from wheels that it has: small wheels are needed again when their
 * group changes, so their layer would hold all of their bytes a second time. Splicing costs a hash of them.
 */
export function splicedLayerStore(layers: LayerStore, spliced: SplicedLayers, store: Store): LayerStore {
  const records = store.cache('layers')
  const layerOf = (key: string, record: DerivationRecord, wheels: readonly RemoteFile[]): StoredLayer => {
    const { mediaType, digest, size, diffId } = record
    const make = async (): Promise<LayerStream> => {
      const stream = await spliced.make(key).catch((error: unknown) => blameWheels(error, wheels, store))
      return { ...stream, blob: proven(stream.blob, record, (error) => blameWheels(error, wheels, store)) }
    }
    return { descriptor: { mediaType, digest, size }, diffId, open: openAgain(key, make) }
  }
  return {
    ...layers,
    find: async (key) => {
      const wheels = spliced.wheelsOf(key)
      const found = await layers.find(key)
      if (found !== undefined || wheels === undefined) return found
      const record = await findRecord(records, key)
      const isHere = async ({ sha256, sizeBytes }: RemoteFile): Promise<boolean> =>
        (await store.has(`sha256:${sha256}`)) === sizeBytes
      if (record === undefined || (await Promise.all(wheels.map(isHere))).includes(false)) return undefined
      return layerOf(key, record, wheels)
    },
    save: async (key, stream) => {
      const wheels = spliced.wheelsOf(key)
      if (wheels === undefined) return layers.save(key, stream)
      const { mediaType } = stream
      const { bytes, made } = hashedBlob(stream)
      for await (const _ of bytes);
      const record = { mediaType, ...made(), diffId: stream.diffId() }
      await saveRecord(records, key, record)
      return layerOf(key, record, wheels)
    },
  }
}

async function* proven(
  blob: AsyncIterable<Uint8Array>,
  record: DerivationRecord,
  blame: (error: unknown) => Promise<never>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* verify(blob, record, `the layer ${record.digest}`)
  } catch (error) {
    await blame(error)
  }
}

/** A wheel that was damaged since is removed, so that the next build fetches it again. @throws BuildError STORE_CORRUPT */
async function blameWheels(error: unknown, wheels: readonly RemoteFile[], store: Store): Promise<never> {
  if (!isBuildError(error)) throw error
  for (const wheel of wheels) await proveStored(wheel, store)
  throw error
}
