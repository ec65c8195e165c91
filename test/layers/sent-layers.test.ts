import { expect, test } from 'vitest'
import { sentLayerStore, type SentLayers } from '../../layers/sent-layers.ts'
import type { FoundLayerStream } from '../../layers/kinds/kind.ts'
import { collect } from '../../src/core/bytes.ts'
import { memoryCache } from '../../src/core/cache.ts'
import { digestOf } from '../../src/core/digest.ts'

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
  (into: Buffer[]): SentLayers['send'][number] =>
  async (copy) => {
    const chunks: Buffer[] = []
    for await (const chunk of copy) chunks.push(Buffer.from(chunk))
    into.push(Buffer.concat(chunks))
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
