import { constants, crc32, deflateRawSync, gunzipSync, gzipSync, inflateRawSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GzipReader, type Checkpoint } from '../../../layers/inflate/gzip-reader.ts'
import { openGunzip, openZlib } from '../../../layers/inflate/gunzip.ts'
import { GZIP_HEADER, gzipTrailer, tinyMember } from '../../../layers/gzip-members.ts'
import { inflateWays } from '../../../layers/inflate/engine.ts'
import { canInflateRaw, RawInflater } from '../../../layers/inflate/raw-inflater.ts'

test('the inflaters are built', () => {
  // Without them everything works, slower; the gate must not pass that way.
  expect(canInflateRaw()).toBe(true)
  const hasAddon = process.platform === 'linux' && process.arch === 'x64'
  expect(inflateWays().map((way) => way.name)).toEqual(hasAddon ? ['addon', 'WebAssembly'] : ['WebAssembly'])
})

/** @param way  of `inflateWays` */
function readBy(way: number, bytes: Uint8Array, step = bytes.length): Buffer {
  const parts: Buffer[] = []
  const inflater = new RawInflater(inflateWays()[way])
  const reader = new GzipReader({ data: (chunk) => void parts.push(Buffer.from(chunk)) }, { inflater })
  for (let at = 0; at < bytes.length; at += step) for (const _ of reader.write(bytes.subarray(at, at + step)));
  for (const _ of reader.end());
  return Buffer.concat(parts)
}

/** Bytes that are neither constant nor random: what a compressor can do something with. */
function mixed(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed
  for (let at = 0; at < length;) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    const run = 1 + ((state >>> 20) % 300)
    const end = Math.min(length, at + run)
    if ((state & 0x300) === 0) bytes.fill(state >>> 24, at, end)
    else if ((state & 0x300) === 0x100 && at > 70_000) bytes.copy(bytes, at, at - 1 - (state % 32768), at - 1)
    else for (let n = at; n < end; n++) bytes[n] = (state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 24
    at = end
  }
  return bytes
}

const plain = (bytes: Buffer): Buffer => Buffer.concat([GZIP_HEADER, bytes.subarray(10)])

describe.each(inflateWays().map((way, n) => [way.name, n] as const))('GzipReader by %s', (_, way) => {
  const read = readBy.bind(undefined, way)

  test.each([0, 1, 100, 65_536, 262_144, 1_000_000])('gives back %i bytes', (length) => {
    const content = mixed(length)
    expect(read(plain(gzipSync(content))).equals(content)).toBe(true)
  })

  const strategies = { huffman: constants.Z_HUFFMAN_ONLY, rle: constants.Z_RLE, fixed: constants.Z_FIXED }
  test.each(Object.entries(strategies))('reads what the strategy %s wrote', (_, strategy) => {
    const content = mixed(500_000)
    expect(read(plain(gzipSync(content, { strategy }))).equals(content)).toBe(true)
  })

  test.each([0, 1, 4, 9])('reads level %i from pieces of any size', (level) => {
    const content = mixed(300_000)
    const bytes = Buffer.concat([plain(gzipSync(content, { level })), tinyMember(content.subarray(0, 5000))])
    const whole = Buffer.concat([content, content.subarray(0, 5000)])
    for (const step of [7, 1000, 4096, 300_000]) expect(read(bytes, step).equals(whole)).toBe(true)
  })

  test.each([500, 4096, 65_536])('reads blocks of all kinds from pieces of %i bytes', (step) => {
    // Flushing ends a piece with an empty stored block, so that all kinds follow each other at all places of a byte.
    const options = [
      { level: 0 },
      { level: 9 },
      { strategy: constants.Z_FIXED },
      { strategy: constants.Z_HUFFMAN_ONLY },
    ]
    const content = mixed(2_000_000)
    const parts: Buffer[] = []
    for (let at = 0, n = 0; at < content.length; n++) {
      const end = Math.min(content.length, at + 500 + ((n * 7919) % 9000))
      const finishFlush = end === content.length ? constants.Z_FINISH : constants.Z_SYNC_FLUSH
      parts.push(deflateRawSync(content.subarray(at, end), { ...options[n % options.length], finishFlush }))
      at = end
    }
    const bytes = Buffer.concat([GZIP_HEADER, ...parts, gzipTrailer(crcOf(content), content.length)])
    expect(gunzipSync(bytes).equals(content)).toBe(true)
    expect(read(bytes, step).equals(content)).toBe(true)
  })

  test('agrees with zlib on any content', () => {
    const options = fc.record({
      content: fc.uint8Array({ maxLength: 5000 }),
      level: fc.integer({ min: 0, max: 9 }),
      memLevel: fc.integer({ min: 1, max: 9 }),
      step: fc.integer({ min: 1, max: 600 }),
    })
    fc.assert(
      fc.property(options, ({ content, level, memLevel, step }) => {
        const bytes = plain(gzipSync(content, { level, memLevel }))
        expect(read(bytes, step).equals(Buffer.from(content))).toBe(true)
      }),
    )
  })

  test('agrees with zlib on what is damaged', () => {
    const good = deflateRawSync(mixed(3000, 7), { level: 9 })
    const damage = fc.record({ at: fc.nat(good.length - 1), bit: fc.nat(7) })
    const frame = (data: Buffer, content: Buffer): Buffer =>
      Buffer.concat([GZIP_HEADER, data, gzipTrailer(crcOf(content), content.length)])
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), (places) => {
        const bytes = Buffer.from(good)
        for (const { at, bit } of places) bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
        const theirs = attempt(() => inflateRawSync(bytes))
        // What zlib reads, we read too; the trailer of a stream that ends early does not stand where it ended.
        if (theirs === undefined) expect(() => read(frame(bytes, Buffer.alloc(0)))).toThrow()
        else if (bytes.length === lengthRead(bytes)) expect(read(frame(bytes, theirs)).equals(theirs)).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })

  test('takes noise for what it is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 3000 }), (noise) => {
        expect(() => read(Buffer.concat([GZIP_HEADER, noise, Buffer.alloc(8, 0xff)]))).toThrow()
      }),
      { numRuns: 2000 },
    )
  })

  test.each<[string, (bytes: Buffer) => Buffer, RegExp]>([
    ['a wrong CRC-32', (bytes) => flip(bytes, bytes.length - 8), /incorrect data check/],
    ['a wrong size', (bytes) => flip(bytes, bytes.length - 1), /incorrect length check/],
    ['no header', (bytes) => flip(bytes, 0), /incorrect header check/],
    ['a header with a name', (bytes) => flip(bytes, 3), /incorrect header check/],
    ['a cut end', (bytes) => bytes.subarray(0, -3), /unexpected end of file/],
    ['a cut middle', (bytes) => bytes.subarray(0, 2000), /unexpected end of file/],
    ['a byte too many', (bytes) => Buffer.concat([bytes, Buffer.alloc(1)]), /unexpected end of file/],
    ['something else behind', (bytes) => Buffer.concat([bytes, Buffer.alloc(20)]), /incorrect header check/],
    ['an unknown block', () => Buffer.concat([GZIP_HEADER, Buffer.from([7]), Buffer.alloc(20)]), /invalid block type/],
  ])('refuses %s', (_, damaged, reason) => {
    expect(() => read(damaged(plain(gzipSync(mixed(20_000)))))).toThrow(reason)
  })

  test('refuses a match that reaches before its own member', () => {
    // Fixed block: a match of length 3 at distance 1, with nothing before it.
    const reaching = Buffer.from([0b0000_0011, 0b0000_0010, 0, 0, 0])
    const bytes = Buffer.concat([tinyMember(Buffer.alloc(1000, 1)), GZIP_HEADER, reaching, Buffer.alloc(8)])
    expect(() => gunzipSync(bytes)).toThrow(/distance/)
    expect(() => read(bytes)).toThrow(/invalid distance/)
  })

  test('gives checkpoints from which zlib goes on', () => {
    const content = mixed(3_000_000)
    const file = Buffer.concat([
      tinyMember(content.subarray(0, 1000)),
      plain(gzipSync(content.subarray(1000, 2_000_000), { level: 6 })),
      plain(gzipSync(content.subarray(2_000_000))),
    ])
    const checkpoints: Checkpoint[] = []
    const reader = new GzipReader(
      {
        data: () => {},
        checkpoint: (checkpoint) => void checkpoints.push({ ...checkpoint, window: Buffer.from(checkpoint.window) }),
      },
      { spanBytes: 200_000, inflater: new RawInflater(inflateWays()[way]) },
    )
    for (let at = 0; at < file.length; at += 50_000) for (const _ of reader.write(file.subarray(at, at + 50_000)));
    for (const _ of reader.end());
    expect(checkpoints.length).toBeGreaterThan(8)
    expect(checkpoints[0]).toMatchObject({ inBytes: 10, bits: 0, outBytes: 0 })
    for (const { inBytes, bits, outBytes, window } of checkpoints) {
      expect(window.subarray(Math.max(0, 32768 - outBytes)).equals(before(content, outBytes))).toBe(true)
      // Node cannot start amid a byte; at whole bytes the claim is checked by going on from there.
      if (bits !== 0 || outBytes === 0) continue
      const rest = inflateRawSync(file.subarray(inBytes), { dictionary: window })
      expect(rest.subarray(0, 10_000).equals(content.subarray(outBytes, outBytes + 10_000))).toBe(true)
    }
  })
})

describe.each([
  ['our own', openGunzip],
  ['zlib', openZlib],
])('a gunzip by %s', (_, open) => {
  test('gives an error of its listener to whoever writes', async () => {
    const gunzip = open(() => {
      throw new RangeError('enough')
    })
    const bytes = tinyMember(Buffer.alloc(100))
    await expect(
      (async () => {
        await gunzip.write(bytes)
        await gunzip.end()
      })(),
    ).rejects.toThrow('enough')
    gunzip.close()
  })

  test('gives all members', async () => {
    const parts: Buffer[] = []
    const gunzip = open((chunk) => void parts.push(Buffer.from(chunk)))
    await gunzip.write(tinyMember(Buffer.from('one ')))
    await gunzip.write(tinyMember(Buffer.from('two')))
    await gunzip.end()
    gunzip.close()
    expect(Buffer.concat(parts).toString()).toBe('one two')
  })
})

test.runIf(inflateWays().length > 1)(
  'every way ends at the same place, with the same words and what came before',
  () => {
    const tell = (way: number, bytes: Uint8Array, step: number): unknown => {
      const heard: Buffer[] = []
      const checkpoints: unknown[] = []
      const listener = {
        data: (chunk: Buffer) => void heard.push(Buffer.from(chunk)),
        checkpoint: ({ window, ...place }: Checkpoint) => void checkpoints.push({ ...place, window: crc32(window) }),
      }
      const reader = new GzipReader(listener, { spanBytes: 3000, inflater: new RawInflater(inflateWays()[way]) })
      let problem = 'none'
      try {
        for (let at = 0; at < bytes.length; at += step) for (const _ of reader.write(bytes.subarray(at, at + step)));
        for (const _ of reader.end());
      } catch (error) {
        problem = String(error)
      }
      return { problem, checkpoints, length: Buffer.concat(heard).length, crc: crc32(Buffer.concat(heard)) }
    }
    const parts = [0, 1, 6, 9].map((level) => gzipSync(mixed(6000, level + 2), { level, memLevel: 1 }))
    // A block so long that the output is let go of twice before a pause that is due can come.
    const long = gzipSync(Buffer.concat([Buffer.alloc(1_000_000), mixed(90_000)]))
    const good = Buffer.concat([...parts, long, ...parts].map(plain))
    const damage = fc.record({ at: fc.nat(good.length - 1), bit: fc.nat(7) })
    fc.assert(
      fc.property(fc.array(damage, { maxLength: 3 }), fc.integer({ min: 50, max: 30_000 }), (places, step) => {
        const bytes = Buffer.from(good)
        for (const { at, bit } of places) bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
        expect(tell(0, bytes, step)).toEqual(tell(1, bytes, step))
      }),
      { numRuns: 500 },
    )
  },
)

function before(content: Buffer, end: number): Buffer {
  return content.subarray(Math.max(0, end - 32768), end)
}

function flip(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 8
  return copy
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}

function crcOf(content: Buffer): number {
  return crc32(content)
}

/** How many of the bytes zlib used. */
function lengthRead(bytes: Buffer): number {
  return (inflateRawSync(bytes, { info: true }) as unknown as { engine: { bytesWritten: number } }).engine.bytesWritten
}
