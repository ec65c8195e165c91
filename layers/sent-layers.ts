import { copied, openBytes, type Open } from '../src/core/bytes.ts'
import type { Cache } from '../src/core/cache.ts'
import { Digester } from '../src/core/digest.ts'
import { passThrough } from '../src/core/pass-through.ts'
import type { LayerStream } from './layer.ts'
import type { FoundLayerStream } from './kinds/kind.ts'
import type { LayerStore, StoredLayer } from './stored-layer.ts'

/** What a build does with layers that it does not keep. */
export interface SentLayers {
  /** Sends a copy of a layer's bytes somewhere while it is made; it may give up, but reads the copy or lets it go. */
  readonly send: readonly ((copy: AsyncIterable<Uint8Array>) => Promise<unknown>)[]
  /** Makes a layer once more, for whoever could not take it at the first time. */
  readonly remake: (key: string) => Promise<LayerStream>
  readonly notes: Cache
  readonly alone: LayerStore['alone']
}

/** Layers up to this size stay in memory. */
const KEPT_BYTES = 1 << 20

/** A place for layers that keeps small ones in memory, and sends the others on while they are made. */
export function sentLayerStore({ send, remake, notes, alone }: SentLayers): LayerStore {
  const known = new Map<string, StoredLayer>()
  const save = async (key: string, stream: FoundLayerStream): Promise<StoredLayer> => {
    const digester = new Digester()
    const source = stream.blob[Symbol.asyncIterator]()
    const start: Uint8Array[] = []
    let isWhole = false
    while (!isWhole && digester.sizeBytes <= KEPT_BYTES) {
      const next = await source.next()
      isWhole = next.done === true
      if (next.done === true) break
      digester.update(next.value)
      start.push(Uint8Array.from(next.value))
    }
    let open: Open = openBytes(Buffer.concat(start))
    if (!isWhole) {
      open = openAgain(key, remake)
      const all = async function* (): AsyncGenerator<Uint8Array> {
        yield* start.splice(0)
        for (let next = await source.next(); next.done !== true; next = await source.next()) {
          digester.update(next.value)
          yield next.value
        }
      }
      const sent = send.reduce<AsyncIterable<Uint8Array>>((passed, sink) => passThrough(passed, sink), all())
      for await (const _ of sent);
    }
    const { sizeBytes: size } = digester
    const descriptor = { mediaType: stream.mediaType, digest: digester.digest(), size }
    const layer = { descriptor, diffId: stream.diffId(), open }
    known.set(key, layer)
    return layer
  }
  return { notes, alone, find: async (key) => known.get(key), save }
}

/** Opens a layer by making it once more. */
export function openAgain(key: string, remake: SentLayers['remake']): Open {
  return async function* (options = {}) {
    const { blob } = await remake(key)
    let skip = options.offset ?? 0
    for await (const chunk of options.reuse === true ? blob : copied(blob)) {
      if (skip < chunk.length) yield skip > 0 ? chunk.subarray(skip) : chunk
      skip = Math.max(0, skip - chunk.length)
    }
  }
}
