import { verify } from '../src/core/digest.ts'
import { startThreadDigester } from '../src/core/hash-thread/pool.ts'
import { BuildError, isBuildError } from '../src/core/errors.ts'
import { passThrough } from '../src/core/pass-through.ts'
import { copied, proven, type Open, type OpenOptions } from '../src/core/bytes.ts'
import { saveRecord, type DerivationRecord } from '../src/store/records.ts'
import type { Store } from '../src/store/store.ts'
import type { LayerStream } from './layer.ts'
import type { LayerStore, StoredLayer } from './stored-layer.ts'

/** Layers whose digests are known before they are made. */
export interface KnownLayers {
  /** What a key becomes; undefined for a key that nobody knows. */
  find(key: string): DerivationRecord | undefined
  /** Whether it is better not to make the layer before its bytes are wanted; asked where the store lacks it. */
  isWorthwhile(key: string, record: DerivationRecord): Promise<boolean>
  /** Whether the store keeps such a layer once it was made; false where it keeps all of its wheels. */
  isKept(key: string): boolean
  /** Makes the layer of such a key, with nothing checked: its bytes are compared with the record. */
  make(key: string): Promise<LayerStream>
  /** Names a key's layer in errors. */
  nameOf(key: string): string
  /** Make every layer anew and compare it with what is known. */
  readonly isVerifying: boolean
}

/**
 * A store of layers that knows some without having them: they are made when their bytes are wanted, compared with their
 * digest on the way, and kept. A layer that a destination has already is never made.
 *
 * @param store where they are kept; nothing is unless given
 */
export function knownLayerStore(layers: LayerStore, known: KnownLayers, store: Store | undefined): LayerStore {
  if (known.isVerifying) return verifyingStore(layers, known)
  return {
    ...layers,
    find: async (key) => {
      const found = await layers.find(key)
      const record = known.find(key)
      if (found !== undefined || record === undefined || !(await known.isWorthwhile(key, record))) return found
      return layerOf(key, record, { layers, known, store })
    },
  }
}

function verifyingStore(layers: LayerStore, known: KnownLayers): LayerStore {
  return {
    ...layers,
    findHere: undefined,
    find: async (key) => (known.find(key) === undefined ? layers.find(key) : undefined),
    save: async (key, stream) => {
      const made = await layers.save(key, stream)
      const record = known.find(key)
      if (record === undefined || (record.diffId === made.diffId && record.digest === made.descriptor.digest))
        return made
      throw new BuildError('DIGEST_MISMATCH', `A layer is another one than the lock file says: ${record.digest}`, {
        hint: LOCK_HINT,
        data: { recorded: record, made: { digest: made.descriptor.digest, diffId: made.diffId } },
      })
    },
  }
}

const LOCK_HINT =
  'Somebody changed the lock file, or another version of this program wrote it. Take `layers` out of it: the next build that is not --locked adds what they become.'

/** Says of bytes that are not those of a record what that may come from. What else is damaged below them speaks for itself. */
async function* blamingLock(
  checked: AsyncIterable<Uint8Array>,
  { digest }: DerivationRecord,
): AsyncGenerator<Uint8Array> {
  try {
    yield* checked
  } catch (error) {
    const isOther =
      (isBuildError(error, 'DIGEST_MISMATCH') && error.data?.['expected'] === digest) ||
      (isBuildError(error, 'SIZE_MISMATCH') && error.data?.['digest'] === digest)
    if (!isOther) throw error
    const { code, message, data } = error
    const hint = `What it is made of was damaged on the way, or the lock file is wrong: try again. If it stays: ${LOCK_HINT}`
    throw new BuildError(code, message, { hint, data, cause: error })
  }
}

interface Parts {
  readonly layers: LayerStore
  readonly known: KnownLayers
  readonly store: Store | undefined
}

function layerOf(key: string, record: DerivationRecord, parts: Parts): StoredLayer {
  const { mediaType, digest, size, diffId } = record
  return { descriptor: { mediaType, digest, size }, diffId, open: openKnown(key, record, parts), isUnmade: true }
}

/** The layer from the store when it has it by now, else made and kept. */
function openKnown(key: string, record: DerivationRecord, { layers, known, store }: Parts): Open {
  return proven(async function* (options: OpenOptions = {}) {
    const release = await begin(layers, key, options.signal)
    try {
      if (store !== undefined && (await store.has(record.digest)) === record.size) {
        yield* store.blob(record)({ ...options, isVerified: false })
        return
      }
      const { blob } = await known.make(key)
      // Nothing is inflated meanwhile.
      const checked = blamingLock(verify(blob, record, known.nameOf(key), startThreadDigester), record)
      const isKept = store !== undefined && known.isKept(key)
      const kept = isKept ? passThrough(checked, (copy) => store.putProven(copy, record)) : checked
      let skip = options.offset ?? 0
      for await (const chunk of options.reuse === true ? kept : copied(kept)) {
        if (skip < chunk.length) yield skip > 0 ? chunk.subarray(skip) : chunk
        skip = Math.max(0, skip - chunk.length)
      }
      if (store !== undefined) await saveRecord(store.cache('layers'), key, record)
    } finally {
      release()
    }
  })
}

/** Takes the turn of a key until it is given back: builds side by side make a layer once. */
function begin(layers: LayerStore, key: string, signal: AbortSignal | undefined): Promise<() => void> {
  return new Promise((resolve, reject) => {
    layers
      .alone(key, () => new Promise<void>((release) => resolve(release)), signal)
      .catch((error: unknown) => reject(error as Error))
  })
}
