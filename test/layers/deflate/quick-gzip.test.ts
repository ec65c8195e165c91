import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { collect, copied, openBytes } from '../../../src/core/bytes.ts'
import { compress } from '../../../layers/compress.ts'
import { DEFLATE_NAME, openQuickGzip } from '../../../layers/deflate/quick-gzip.ts'
import { GzipReader, type Checkpoint } from '../../../layers/inflate/gzip-reader.ts'
import { layerOfTar } from '../../../layers/files.ts'
import { layerOnThread } from '../../../layers/threaded-layer.ts'
import { makeCheckPool } from '../../../layers/workers/pool.ts'
import { channelThread } from '../../support/check-thread.ts'

function gzip(content: Uint8Array, step = content.length): Buffer {
  const writer = openQuickGzip()
  const parts: Buffer[] = []
  for (let at = 0; at < content.length; at += step) {
    writer.write(content.subarray(at, at + step))
    parts.push(writer.take())
  }
  writer.end()
  return Buffer.concat([...parts, writer.take()])
}

const kept = ({ window, ...place }: Checkpoint): object => ({
  ...place,
  window: createHash('sha256').update(window).digest('hex'),
})

function checkpointsMade(content: Uint8Array, spanBytes: number): { checkpoints: object[]; file: Buffer } {
  const parts: Buffer[] = []
  const found: object[] = []
  let inBytes = 0
  const made = (bytes: Uint8Array, checkpoints: readonly Checkpoint[]): void => {
    parts.push(Buffer.from(bytes))
    // Each lies among the bytes that come with it, so that who hashes spans need not hold earlier ones.
    for (const place of checkpoints) {
      expect(place.inBytes - Math.sign(place.bits)).toBeGreaterThanOrEqual(inBytes)
      expect(place.inBytes).toBeLessThanOrEqual(inBytes + bytes.length)
      found.push(kept(place))
    }
    inBytes += bytes.length
  }
  const writer = openQuickGzip({ spanBytes, made })
  for (let at = 0; at < content.length; at += 100_000) writer.write(content.subarray(at, at + 100_000))
  writer.end()
  const file = Buffer.concat(parts)
  expect(file.equals(gzip(content))).toBe(true)
  return { checkpoints: found, file }
}

function checkpointsRead(file: Uint8Array, spanBytes: number): object[] {
  const found: object[] = []
  const reader = new GzipReader({ data: () => {}, checkpoint: (place) => found.push(kept(place)) }, { spanBytes })
  for (const _ of reader.write(file));
  for (const _ of reader.end());
  return found
}

/** Text-like, binary-like and random stretches, the same on every machine. */
function mixed(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  let state = 3
  const next = (): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 8
  for (let at = 0; at < length;) {
    const end = Math.min(length, at + 1 + (next() % 3000))
    const kind = next() % 5
    const from = next() % Math.max(1, at)
    for (let n = at; n < end; n++) {
      bytes[n] = kind === 0 ? next() : kind < 3 ? (bytes[from + n - at] ?? 0) : kind === 3 ? 97 + (next() % 20) : n >> 2
    }
    at = end
  }
  return bytes
}

describe('openQuickGzip()', () => {
  it.each([
    ['nothing', Buffer.alloc(0)],
    ['one byte', Buffer.from('a')],
    ['three bytes', Buffer.from('aaa')],
    ['one byte repeated', Buffer.alloc(300_000, 7)],
    ['a whole block', Buffer.alloc(1 << 16, 'block ')],
    ['a block and a byte', Buffer.alloc((1 << 16) + 1, 'block ')],
    ['what does not compress', createRandom(200_000)],
    ['a mixture', mixed(3_000_000)],
  ])('gives what zlib inflates to the same: %s', (_, content) => {
    expect(gunzipSync(gzip(content)).equals(content)).toBe(true)
  })

  it('makes of anything what zlib inflates to the same', () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.nat(3000)).map(([unit, times]) => {
        return Uint8Array.from({ length: unit.length * times }, (__, n) => unit[n % unit.length] ?? 0)
      }),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const content = Buffer.concat(pieces)
        expect(gunzipSync(gzip(content)).equals(content)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('makes the same bytes however the content is cut, and on every machine', () => {
    const content = mixed(500_000)
    const whole = gzip(content)
    for (const step of [1000, 65_535, 65_536, 300_001]) expect(gzip(content, step).equals(whole), `${step}`).toBe(true)
    // Another digest here makes every image new: it needs another name.
    expect(DEFLATE_NAME).toBe('deflate-1')
    expect(createHash('sha256').update(whole).digest('hex')).toMatchInlineSnapshot(
      `"350e3dcc9b8830fbf847e6f91ea7aed618d0624c96e52001e43bd2ebb86fece3"`,
    )
  })

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['whole blocks, and no more', Buffer.alloc(4 << 16, 'block ')],
    // A block that is stored is two, and reading can begin at the second.
    ['what does not compress', createRandom(1_000_000)],
    [
      'what does not compress, and what does',
      Buffer.concat([createRandom(300_000), mixed(400_000), createRandom(1 << 17)]),
    ],
    ['a mixture', mixed(3_000_000)],
  ])('tells the places at which reading can begin as who reads the file finds them: %s', (_, content) => {
    for (const spanBytes of [1, 65_534, 65_535, 65_536, 200_000, 1 << 22]) {
      const told = checkpointsMade(content, spanBytes)
      expect(told.checkpoints).toEqual(checkpointsRead(told.file, spanBytes))
    }
  })

  it('adds next to nothing to what does not compress', () => {
    const content = createRandom(1_000_000)
    expect(gzip(content).length).toBeLessThan(content.length * 1.001)
  })
})

describe('layerOnThread()', () => {
  it('makes the bytes and the diffId of the calling thread', async () => {
    const content = mixed(2_000_000)
    const parts = async function* (): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < content.length; at += 7001) yield content.subarray(at, at + 7001)
    }
    const pool = makeCheckPool({ start: () => channelThread() }) ?? expect.unreachable()
    const threaded = layerOnThread(parts(), pool)
    const own = layerOfTar(openBytes(content)())
    const bytes = await collect(copied(threaded.blob), 1 << 30)
    expect(bytes.equals(await collect(own.blob, 1 << 30))).toBe(true)
    expect(threaded.diffId()).toBe(own.diffId())
    expect(threaded.mediaType).toBe(own.mediaType)
    expect(bytes.equals(await collect(compress(openBytes(content)(), 'gzip'), 1 << 30))).toBe(true)
    await pool.close()
  })

  it('knows no diffId before its end, and passes on what the content fails with', async () => {
    const pool = makeCheckPool({ start: () => channelThread() }) ?? expect.unreachable()
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(1 << 20)
      throw new Error('the package is damaged')
    }
    const layer = layerOnThread(failing(), pool)
    expect(() => layer.diffId()).toThrow(TypeError)
    await expect(collect(copied(layer.blob), 1 << 30)).rejects.toThrow('the package is damaged')
    await pool.close()
  })
})

function createRandom(length: number): Buffer {
  const blocks: Buffer[] = []
  for (let n = 0; n * 32 < length; n++) blocks.push(createHash('sha256').update(`${n}`).digest())
  return Buffer.concat(blocks).subarray(0, length)
}
