import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, expect, test } from 'vitest'
import { collect, type Open } from '../../src/core/bytes.ts'
import { digestOf, hashedStream, type HashedStream } from '../../src/core/digest.ts'
import { BuildError } from '../../src/core/errors.ts'
import type { Report } from '../../src/core/progress.ts'
import { contentOf, type Content } from '../../src/destinations/content.ts'
import { startDelivery } from '../../src/destinations/copy.ts'
import type { Destination } from '../../src/destinations/destination.ts'
import { memoryDestination, memoryImages, type MemoryImages } from '../../src/destinations/memory.ts'
import { sampleImage } from '../support/sample-image.ts'

let images: MemoryImages
let calls: string[]
let content: Content
beforeEach(() => {
  images = memoryImages()
  calls = []
  content = contentOf(sampleImage())
})

function destination(change: Partial<Destination> = {}): Destination {
  const memory = memoryDestination(images, 'app')
  return {
    ...memory,
    begin: (begun) => (calls.push('begin'), memory.begin(begun)),
    putBlob: (blob, options) => (calls.push(blob.descriptor.digest), memory.putBlob(blob, options)),
    ...change,
  }
}

const layersOf = ({ blobs }: Content): readonly Content['blobs'][number][] => blobs.slice(1)

test('startDelivery() puts a blob as it is offered, and not again when the whole is known', async () => {
  const delivery = startDelivery(destination())
  for (const blob of layersOf(content)) delivery.offer(blob)
  await expect.poll(() => calls.length).toBe(layersOf(content).length)
  const { outcome, blobs } = await delivery.finish(content)
  expect(outcome).toBe('copied')
  expect(blobs).toEqual({ exists: 0, mounted: 0, uploaded: content.blobs.length })
  expect(calls.filter((call) => call === layersOf(content)[0]?.descriptor.digest)).toHaveLength(1)
  expect(calls.indexOf('begin')).toBe(layersOf(content).length)
  expect(images.roots.get('app')).toBe(content.manifest.descriptor.digest)
})

test('finish() puts the largest blob first', async () => {
  await startDelivery(destination()).finish(content)
  const sizes = new Map(layersOf(content).map(({ descriptor: { digest, size } }) => [digest as string, size]))
  const put = calls.flatMap((call) => sizes.get(call) ?? [])
  expect(put).toHaveLength(sizes.size)
  expect(put).toEqual(put.toSorted((a, b) => b - a))
})

test('a delivery tells whether uploads waited for their bytes or for the destination', async () => {
  const spent = new Map<string, number>()
  const report: Report = (event) => {
    if (event.type === 'spent') spent.set(event.on, (spent.get(event.on) ?? 0) + event.ms)
  }
  const [layer] = layersOf(content)
  if (layer === undefined) expect.unreachable()
  const slow: Open = async function* (options) {
    await sleep(60)
    yield* layer.open(options)
  }
  const memory = destination()
  const delivery = startDelivery(
    { ...memory, putBlob: async (blob, options) => (await sleep(30), memory.putBlob(blob, options)) },
    { report },
  )
  delivery.offer({ ...layer, open: slow })
  await delivery.finish(content)
  expect([...spent.keys()].toSorted()).toEqual(['wait for destination', 'wait for layers'])
  expect(spent.get('wait for layers')).toBeGreaterThan(50)
  expect(spent.get('wait for destination')).toBeGreaterThan(25 * content.blobs.length)
})

test('startDelivery() tells of a failure at once, and publishes nothing', async () => {
  const refusal = new BuildError('REGISTRY_DENIED', 'no')
  const failures: unknown[] = []
  const delivery = startDelivery(destination({ putBlob: () => Promise.reject(refusal) }), {
    onFailure: (error) => void failures.push(error),
  })
  for (const blob of layersOf(content)) delivery.offer(blob)
  await expect.poll(() => failures[0]).toBe(refusal)
  await expect(delivery.finish(content)).rejects.toBe(refusal)
  expect(images.roots.size).toBe(0)
})

test('startDelivery() waits with blobs for destinations that must know the whole first', async () => {
  const { prepare: _, ...plain } = destination()
  const delivery = startDelivery(plain)
  for (const blob of layersOf(content)) delivery.offer(blob)
  expect(calls).toEqual([])
  await delivery.finish(content)
  expect(calls[0]).toBe('begin')
})

test('a source is asked to look for itself when its bytes were damaged', async () => {
  const asked: (boolean | undefined)[] = []
  const memory = destination()
  const delivery = startDelivery({
    ...memory,
    async putBlob(blob, options) {
      if (blob.descriptor.digest !== layersOf(content)[0]?.descriptor.digest) return memory.putBlob(blob, options)
      for await (const _ of blob.open({ isVerified: true }));
      throw new BuildError('DIGEST_MISMATCH', 'damaged')
    },
  })
  const [config, first, ...rest] = content.blobs
  if (config === undefined || first === undefined) throw new Error('The sample has no layer')
  const open: typeof first.open = (options) => (asked.push(options?.isVerified), first.open(options))
  const watched = { ...content, blobs: [config, { ...first, open }, ...rest] }
  await expect(delivery.finish(watched)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  expect(asked).toEqual([true, false, false])
})

test('stream() puts a blob whose digest its bytes tell, and leaves one that did not arrive for later', async () => {
  const [, layer] = content.blobs
  if (layer === undefined) throw new Error('The sample has no layer')
  const memory = destination()
  const streamed: Buffer[] = []
  const taking: Destination = {
    ...memory,
    async putStream({ open }) {
      const bytes = await collect(open(), 2 ** 20)
      streamed.push(bytes)
      images.blobs.set(digestOf(bytes), bytes)
      return { digest: digestOf(bytes), size: bytes.length }
    },
  }
  const delivery = startDelivery(taking)
  const whole = (): HashedStream => hashedStream(layer.open())
  await delivery.stream(whole())
  expect((await delivery.finish(content)).blobs.uploaded).toBe(content.blobs.length)
  expect(calls).not.toContain(layer.descriptor.digest)
  const refusing = startDelivery({
    ...memory,
    putStream: () => Promise.reject(new BuildError('REGISTRY_FAILED', 'no')),
  })
  images.blobs.clear()
  images.roots.clear()
  await refusing.stream(whole())
  await refusing.finish(content)
  expect(calls).toContain(layer.descriptor.digest)
})

test('stream() waits for no place: what makes a layer holds what an earlier one may need to go on', async () => {
  const [, layer] = content.blobs
  if (layer === undefined) throw new Error('The sample has no layer')
  let goOn = (): void => {}
  const second = new Promise<void>((resolve) => (goOn = resolve))
  const taking: Destination = {
    ...destination(),
    concurrency: 1,
    async putStream({ open, made }) {
      for await (const _ of open());
      return made?.() ?? expect.unreachable('Nobody hashes the stream')
    },
  }
  // The first layer ends when the second has begun to be sent, as where both need a thread that decompresses.
  const waiting = async function* (): AsyncGenerator<Uint8Array> {
    await second
    yield* layer.open()
  }
  const leading = async function* (): AsyncGenerator<Uint8Array> {
    goOn()
    yield* layer.open()
  }
  const delivery = startDelivery(taking)
  await Promise.all([delivery.stream(hashedStream(waiting())), delivery.stream(hashedStream(leading()))])
  expect((await delivery.finish(content)).outcome).toBe('copied')
})

test('progress names what is copied', async () => {
  const [, layer] = content.blobs
  if (layer === undefined) throw new Error('The sample has no layer')
  const names: string[] = []
  const report: Report = (event) => void (event.type === 'start' && names.push(event.name))
  const refuses = () => Promise.reject(new BuildError('REGISTRY_FAILED', 'no'))
  const delivery = startDelivery({ ...destination(), putStream: refuses }, { report })
  await delivery.stream({ ...hashedStream(layer.open()), name: 'torch 2.4.0' })
  delivery.offer({ ...layer, name: 'torch 2.4.0' })
  await delivery.finish(content)
  expect(names.slice(0, 3)).toEqual(['copy torch 2.4.0', 'copy torch 2.4.0', 'copy configuration'])
})

test('streamIfNew() streams to what has nothing yet, asks that once, and no more after a refusal', async () => {
  const [, layer] = content.blobs
  if (layer === undefined) throw new Error('The sample has no layer')
  const told: string[] = []
  const watched = (isNew: () => Promise<boolean>, takes = true): Destination => ({
    ...destination(),
    isNew: () => (told.push('asked'), isNew()),
    async putStream({ open, made }) {
      told.push('streamed')
      if (!takes) throw new BuildError('REGISTRY_FAILED', 'no')
      for await (const _ of open());
      return made?.() ?? expect.unreachable('Nobody hashes the stream')
    },
  })
  const twice = async (to: Destination): Promise<string[]> => {
    told.length = 0
    const delivery = startDelivery(to)
    await delivery.streamIfNew(hashedStream(layer.open()))
    await delivery.streamIfNew(hashedStream(layer.open()))
    await delivery.abort(new Error('The test is over'))
    return told
  }
  expect(await twice(watched(async () => true))).toEqual(['asked', 'streamed', 'streamed'])
  expect(await twice(watched(async () => false))).toEqual(['asked'])
  expect(await twice(watched(() => Promise.reject(new Error('denied'))))).toEqual(['asked'])
  expect(await twice(watched(async () => true, false))).toEqual(['asked', 'streamed'])
})

test('abort() of a delivery ends what is on its way', async () => {
  let isAborted = false
  const delivery = startDelivery(destination({ abort: async () => void (isAborted = true) }))
  const [blob] = layersOf(content)
  if (blob === undefined) throw new Error('The sample has no layer')
  const failures: unknown[] = []
  delivery.offer({
    ...blob,
    open: async function* () {
      for (;;) {
        await new Promise((resolve) => setTimeout(resolve, 1))
        yield new Uint8Array(0)
      }
    },
  })
  await expect.poll(() => calls.length).toBe(1)
  await delivery.abort(new Error('enough'))
  expect(isAborted).toBe(true)
  expect(failures).toEqual([])
  expect(images.blobs.size).toBe(0)
})
