import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { layerStore } from '../../layers/layer-store.ts'
import type { LayerStore } from '../../layers/stored-layer.ts'
import { sendingStore, sentLayerStore, type Send, type SentLayers } from '../../layers/sent-layers.ts'
import type { FoundLayerStream } from '../../layers/kinds/kind.ts'
import { collect } from '../../src/core/bytes.ts'
import { memoryCache } from '../../src/core/cache.ts'
import { digestOf } from '../../src/core/digest.ts'
import { Store } from '../../src/store/store.ts'

const large = Buffer.alloc(3 << 20, 'layer ')
const small = Buffer.from('small')

/** Chunks that all lie in the same memory, one after the other, as those of a download do. */
async function* reusing(bytes: Buffer, size = 300_000): AsyncGenerator<Uint8Array> {
  const memory = Buffer.alloc(size)
  for (let at = 0; at < bytes.length; at += size) {
    const length = bytes.copy(memory, 0, at, at + size)
    yield memory.subarray(0, length)
  }
}

const layer = (bytes: Buffer): FoundLayerStream => ({
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  blob: reusing(bytes),
  diffId: () => digestOf('tar'),
})

function store(change: Partial<SentLayers> = {}): ReturnType<typeof sentLayerStore> {
  const notes = memoryCache()
  return sentLayerStore({
    send: [],
    remake: async () => layer(large),
    notes,
    alone: (_, work) => work(false),
    ...change,
  })
}

const taking =
  (into: Buffer[]): Send =>
  async ({ bytes, made }) => {
    const chunks: Buffer[] = []
    for await (const chunk of bytes) chunks.push(Buffer.from(chunk))
    const sent = Buffer.concat(chunks)
    expect(made()).toEqual({ digest: digestOf(sent), size: sent.length })
    into.push(sent)
  }

test('save() sends a large layer to every place while it is made, whole', async () => {
  const [first, second]: [Buffer[], Buffer[]] = [[], []]
  const { descriptor } = await store({ send: [taking(first), taking(second)] }).save('key', layer(large))
  expect(descriptor).toMatchObject({ digest: digestOf(large), size: large.length })
  expect([first, second].map(([bytes]) => bytes?.equals(large))).toEqual([true, true])
})

test('save() keeps a small layer in memory, and sends nothing', async () => {
  const sent: Buffer[] = []
  const kept = await store({ send: [taking(sent)] }).save('key', layer(small))
  expect(kept.descriptor.digest).toBe(digestOf(small))
  expect((await collect(kept.open(), 100)).equals(small)).toBe(true)
  expect(sent).toEqual([])
})

test('a large layer is made again for whoever opens it, from any place on', async () => {
  let made = 0
  const kept = await store({ remake: async () => (made++, layer(large)) }).save('key', layer(large))
  expect(made).toBe(0)
  expect((await collect(kept.open(), large.length)).equals(large)).toBe(true)
  expect((await collect(kept.open({ offset: 1_000_001 }), large.length)).equals(large.subarray(1_000_001))).toBe(true)
  expect(made).toBe(2)
})

test('save() goes on when a place lets go, and fails with the source', async () => {
  const gone = store({ send: [() => Promise.resolve()] })
  expect((await gone.save('key', layer(large))).descriptor.digest).toBe(digestOf(large))
  const broken = {
    ...layer(large),
    blob: (async function* () {
      yield* reusing(large)
      throw new Error('cut')
    })(),
  }
  const sent: Buffer[] = []
  await expect(store({ send: [taking(sent)] }).save('key', broken)).rejects.toThrow('cut')
  expect(sent).toEqual([])
})

describe('sendingStore()', () => {
  const huge = Buffer.alloc(6 << 20, 'layer ')
  let folder: string
  let kept: LayerStore
  let files: Store
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sending-store-'))
    files = await Store.open(folder)
    kept = layerStore(files)
  })
  afterEach(() => rm(folder, { recursive: true }))

  test('keeps a large layer and sends it on, hashed once; of a small one it sends nothing', async () => {
    const sent: Buffer[] = []
    const sending = sendingStore(kept, [taking(sent)])
    const { descriptor, open } = await sending.save('key', layer(huge))
    expect(descriptor).toMatchObject({ digest: digestOf(huge), size: huge.length })
    expect((await collect(open(), huge.length)).equals(huge)).toBe(true)
    expect(sent.map((bytes) => bytes.equals(huge))).toEqual([true])
    expect((await sending.save('small', layer(small))).descriptor.digest).toBe(digestOf(small))
    expect((await sending.find('small'))?.descriptor.size).toBe(small.length)
    expect(sent).toHaveLength(1)
  })

  test('keeps a layer also when nobody wants it any more', async () => {
    const letsGo: Send = async ({ bytes }) => void (await bytes[Symbol.asyncIterator]().next())
    const { descriptor } = await sendingStore(kept, [letsGo]).save('key', layer(huge))
    expect(await files.has(descriptor.digest)).toBe(huge.length)
  })

  test('keeps and sends nothing of a layer that breaks off, and closes one that cannot be written', async () => {
    let isClosed = false
    const broken = (error?: Error): FoundLayerStream => ({
      ...layer(huge),
      blob: (async function* () {
        try {
          yield* reusing(huge)
          if (error !== undefined) throw error
        } finally {
          isClosed = true
        }
      })(),
    })
    const sent: Buffer[] = []
    await expect(sendingStore(kept, [taking(sent)]).save('key', broken(new Error('cut')))).rejects.toThrow('cut')
    expect([sent, await files.has(digestOf(huge))]).toEqual([[], undefined])
    isClosed = false
    const full: LayerStore = { ...kept, save: () => Promise.reject(new Error('full')) }
    await expect(sendingStore(full, [taking(sent)]).save('key', broken())).rejects.toThrow('full')
    expect(isClosed).toBe(true)
  })
})
