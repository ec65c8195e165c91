import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { afterEach, describe, expect, test } from 'vitest'
import { collect, copied } from '../../src/core/bytes.ts'
import { digestOf, verify } from '../../src/core/digest.ts'
import type { HashPort } from '../../src/core/hash-thread/digester.ts'
import type { HashAnswer, HashRequest } from '../../src/core/hash-thread/messages.ts'
import { HashPool, hashThreadStarter } from '../../src/core/hash-thread/pool.ts'
import { serveHashes } from '../../src/core/hash-thread/serve.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import { hasSpareOfMany, hasSpareProcessor, occupyProcessor } from '../../src/core/processors.ts'
import { batches } from '../../src/core/slabs.ts'

const always = (): boolean => true
const closing: (() => void)[] = []
afterEach(() => closing.splice(0).forEach((close) => close()))

/** What stands in for a thread: the same program behind a channel in this one. It notes what it is told, and can be ended. */
function standIn() {
  const { port1, port2 } = new MessageChannel()
  serveHashes(port2)
  closing.push(() => port1.close())
  const requests: HashRequest[] = []
  let end: (error: unknown) => void = () => {}
  const port: HashPort = {
    send: (request) => {
      requests.push(request)
      port1.postMessage(request)
    },
    onAnswer: (listener) => void port1.on('message', listener),
    onEnd: (listener) => void (end = listener),
    hold: () => {},
  }
  return { port, requests, end: (error: unknown) => end(error) }
}

function shared(sizeBytes: number, seed = 1): Buffer {
  const bytes = Buffer.from(new SharedArrayBuffer(sizeBytes))
  for (let at = 0; at < sizeBytes; at++) bytes[at] = (at * 31 + (at >> 7) + seed) & 255
  return bytes
}

describe('ThreadDigester', () => {
  test('gives the digest of all bytes in their order, whether they are lent or copied', async () => {
    const digester = new HashPool(() => standIn().port).digester('sha256', always)
    // Shared and large, shared and small, large and not shared, empty, and more small ones than one copy holds.
    const sizes = [200_000, 3, 0, 65_535, 65_536, 300_000, 17, ...Array.from({ length: 40 }, () => 9_999)]
    const chunks = sizes.map((size, at) => (at === 5 ? Buffer.from(shared(size, at)) : shared(size, at)))
    const before = batches.lent
    for (const chunk of chunks) {
      digester?.update(chunk)
      await digester?.settled()
    }
    expect(await digester?.digest()).toBe(digestOf(Buffer.concat(chunks)))
    expect(digester?.sizeBytes).toBe(sizes.reduce((a, b) => a + b))
    digester?.close()
    expect(batches.lent).toBe(before)
  })

  test('is settled only when the thread has taken what it was lent', async () => {
    let answer: (answer: HashAnswer) => void = () => {}
    const port: HashPort = { send: () => {}, onAnswer: (on) => void (answer = on), onEnd: () => {}, hold: () => {} }
    const digester = new HashPool(() => port).digester('sha256', always)
    digester?.update(shared(100_000))
    let isSettled = false
    const settled = digester?.settled().then(() => (isSettled = true))
    await new Promise((resolve) => setImmediate(resolve))
    expect(isSettled).toBe(false)
    answer({ type: 'taken', id: 1 })
    await settled
    expect(isSettled).toBe(true)
    digester?.close()
  })

  test('fails when its thread ends, and the next one begins on another', async () => {
    const threads = [standIn(), standIn()]
    const waiting = [...threads]
    const pool = new HashPool(() => waiting.shift()?.port ?? expect.fail('a third thread'))
    const digester = pool.digester('sha256', always)
    digester?.update(shared(100_000))
    threads[0]?.end(new Error('out of memory'))
    await expect(digester?.digest()).rejects.toMatchObject({ code: 'INTERNAL', cause: { message: 'out of memory' } })
    digester?.close()
    const next = pool.digester('sha256', always)
    expect(next).toBeDefined()
    next?.close()
    expect(waiting).toHaveLength(0)
  })
})

describe('HashPool', () => {
  test('gives nothing where every processor is taken, and shares the thread that works already', () => {
    const { port, requests } = standIn()
    const pool = new HashPool(() => port)
    expect(pool.digester('sha256', () => false)).toBeUndefined()
    const first = pool.digester('sha256', always)
    const second = pool.digester('sha256', () => false)
    expect(requests.map(({ type, id }) => [type, id])).toEqual([
      ['start', 1],
      ['start', 2],
    ])
    first?.close()
    second?.close()
  })

  test('counts as a thread that works for as long as it has something to hash', () => {
    const pool = new HashPool(() => standIn().port)
    expect(hasSpareProcessor(2)).toBe(true)
    const digesters = [pool.digester('sha256', always), pool.digester('sha256', always)]
    expect(hasSpareProcessor(2)).toBe(false)
    for (const digester of digesters) digester?.close()
    expect(hasSpareProcessor(2)).toBe(true)
    const release = occupyProcessor()
    expect([hasSpareProcessor(2), hasSpareProcessor(3)]).toEqual([false, true])
    const spareOfMany = (processors: number, node = '20.20.2'): boolean => hasSpareOfMany(processors, node)
    expect([2, 3, 4].map((processors) => spareOfMany(processors))).toEqual([false, true, true])
    release()
    expect([1, 2, 3].map((processors) => spareOfMany(processors))).toEqual([false, false, true])
    // Where a thread's heap is large, none hashes beside those that inflate.
    expect(['22.18.0', '24.21.0'].map((node) => spareOfMany(64, node))).toEqual([false, false])
  })
})

describe('verify() with a thread', () => {
  const bytes = shared(20 << 20)
  const expected = { digest: digestOf(bytes), size: bytes.length }
  /** Gives the bytes in one piece of memory that it uses again. */
  async function* reusing(all: Uint8Array): AsyncGenerator<Uint8Array> {
    const slab = Buffer.from(new SharedArrayBuffer(1 << 18))
    for (let at = 0; at < all.length; at += slab.length) {
      const part = all.subarray(at, at + slab.length)
      slab.set(part)
      yield slab.subarray(0, part.length)
    }
  }
  const start = (thread = standIn()) => {
    const pool = new HashPool(() => thread.port)
    return { thread, beside: () => pool.digester('sha256', always) }
  }

  test('passes the expected bytes on unchanged, also from memory that is used again', async () => {
    const { beside, thread } = start()
    const stream = copied(verify(reusing(bytes), expected, 'the blob', beside))
    expect((await collect(stream, bytes.length)).equals(bytes)).toBe(true)
    expect(thread.requests.filter(({ type }) => type === 'bytes')).toHaveLength(80)
  })

  test('refuses other bytes, too few and too many', async () => {
    const other = Buffer.from(bytes)
    other.writeUInt8(other.readUInt8(1 << 20) ^ 1, 1 << 20)
    const drain = async (all: Uint8Array): Promise<void> => {
      for await (const _ of verify(reusing(all), expected, 'the blob', start().beside));
    }
    await expect(drain(other)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH', data: { expected: expected.digest } })
    await expect(drain(other.subarray(1))).rejects.toMatchObject({ code: 'SIZE_MISMATCH' })
    await expect(drain(Buffer.concat([bytes, bytes]))).rejects.toMatchObject({ code: 'SIZE_MISMATCH' })
  })

  test('tells the thread when nobody reads on', async () => {
    const { beside, thread } = start()
    for await (const _ of verify(reusing(bytes), expected, 'the blob', beside)) break
    expect(thread.requests.at(-1)).toEqual({ type: 'close', id: 1 })
  })
})

test('the thread itself hashes what it is lent', async () => {
  const program = pathToFileURL(join(packageRoot(), 'dist/src/core/hash-thread/thread.js'))
  const pool = new HashPool(hashThreadStarter(program) ?? expect.unreachable())
  const bytes = shared(1 << 20)
  const digester = pool.digester('sha256', always)
  for (let n = 0; n < 3; n++) {
    digester?.update(bytes)
    await digester?.settled()
  }
  expect(await digester?.digest()).toBe(digestOf(Buffer.concat([bytes, bytes, bytes])))
  digester?.close()
}, 60_000)
