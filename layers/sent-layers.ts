import { copied, openBytes, type Open } from '../src/core/bytes.ts'
import type { Cache } from '../src/core/cache.ts'
import type { HashedStream } from '../src/core/digest.ts'
import { passThrough } from '../src/core/pass-through.ts'
import { hashedBlob, type LayerStream } from './layer.ts'
import type { FoundLayerStream } from './kinds/kind.ts'
import type { LayerStore, StoredLayer } from './stored-layer.ts'

/** Sends a copy of a layer's bytes somewhere while it is made; it may give up, but reads the copy or lets it go. */
export type Send = (copy: HashedStream) => Promise<unknown>

/** What a build does with layers that it does not keep. */
export interface SentLayers {
  readonly send: readonly Send[]
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
    const { bytes, ...hashed } = hashedBlob(stream)
    const { start, rest } = await begun(bytes, KEPT_BYTES)
    const open = rest === undefined ? openBytes(Buffer.concat(start)) : openAgain(key, remake)
    if (rest !== undefined) for await (const _ of sentTo(send, rest, hashed));
    const layer = { descriptor: { mediaType: stream.mediaType, ...hashed.made() }, diffId: stream.diffId(), open }
    known.set(key, layer)
    return layer
  }
  return { notes, alone, find: async (key) => known.get(key), save }
}

/** From this size on a layer that is kept is worth to be sent while it is made. */
const SENT_BYTES = 4 << 20

/** A place for layers that sends large ones on while they are made and kept. */
export function sendingStore(layers: LayerStore, send: readonly Send[]): LayerStore {
  if (send.length === 0) return layers
  return {
    ...layers,
    save: async (key, stream) => {
      const { bytes, ...hashed } = hashedBlob(stream)
      const { start, rest, close } = await begun(bytes, SENT_BYTES)
      const blob = rest === undefined ? streamOf(start) : sentTo(send, rest, hashed)
      try {
        return await layers.save(key, { ...stream, blob, made: hashed.made })
      } finally {
        // Who could not begin to write has not closed what has begun to be made.
        await close()
      }
    },
  }
}

/** The first bytes of a stream, in memory of their own, and all of it when there is more. */
interface Begun {
  readonly start: readonly Uint8Array[]
  readonly rest: AsyncIterable<Uint8Array> | undefined
  readonly close: () => Promise<void>
}

async function begun(bytes: AsyncIterable<Uint8Array>, mostBytes: number): Promise<Begun> {
  const source = bytes[Symbol.asyncIterator]()
  const close = async (): Promise<void> => void (await source.return?.())
  const start: Uint8Array[] = []
  for (let held = 0; held <= mostBytes;) {
    const next = await source.next()
    if (next.done === true) return { start, rest: undefined, close }
    held += next.value.length
    start.push(Uint8Array.from(next.value))
  }
  const all = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for (let first = start.shift(); first !== undefined; first = start.shift()) yield first
      for (let next = await source.next(); next.done !== true; next = await source.next()) yield next.value
    } finally {
      await close()
    }
  }
  return { start, rest: all(), close }
}

function sentTo(
  send: readonly Send[],
  stream: AsyncIterable<Uint8Array>,
  hashed: Omit<HashedStream, 'bytes'>,
): AsyncIterable<Uint8Array> {
  return send.reduce((passed, sink) => passThrough(passed, (bytes) => sink({ bytes, ...hashed })), stream)
}

async function* streamOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
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
