import { createHash } from 'node:crypto'
import { crc32, deflateRawSync, gunzipSync, inflateRawSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deflateMember, storedGzip, storedMember, tinyMember } from '../../layers/gzip-members.ts'
import { encodeTarHeader } from '../../layers/tar-header.ts'
import { storedBytes, storeDeflate, tinyDeflate } from '../../layers/tiny-deflate.ts'
import { collect, openBytes } from '../../src/core/bytes.ts'

const LIMIT = 2 ** 24

/** Bytes with and without repeats, of many lengths. */
const someBytes = fc.oneof(
  fc.uint8Array({ maxLength: 2000 }),
  fc
    .array(fc.constantFrom('abc', 'abcabcabd', '\0\0\0\0\0\0\0\0', 'x'), { maxLength: 400 })
    .map((parts) => Buffer.from(parts.join(''))),
  fc.nat(200_000).map((length) => Buffer.alloc(length, 7)),
)

function pseudoRandom(length: number): Buffer {
  const parts: Buffer[] = []
  for (let n = 0; n * 32 < length; n++) parts.push(createHash('sha256').update(String(n)).digest())
  return Buffer.concat(parts).subarray(0, length)
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

describe('tinyDeflate()', () => {
  test('is inflated to what went in', () => {
    fc.assert(
      fc.property(someBytes, (bytes) => {
        expect(inflateRawSync(tinyDeflate(bytes)).equals(bytes)).toBe(true)
      }),
    )
  })

  test.each([0, 1, 2, 3, 258, 259, 32768, 65535, 65536, 300_000])(
    'copes with %i bytes that have no repeats',
    (length) => {
      const bytes = pseudoRandom(length)
      const packed = tinyDeflate(bytes)
      expect(inflateRawSync(packed).equals(bytes)).toBe(true)
      expect(packed.length).toBeLessThanOrEqual(storedBytes(length))
    },
  )

  test('makes a tar header nearly as small as zlib does', () => {
    const header = encodeTarHeader({
      type: 'file',
      path: 'opt/venv/lib/python3.11/site-packages/numpy/core/a.py',
      mode: 0o644,
      mtimeSeconds: 315532800,
      sizeBytes: 12345,
    })
    expect(tinyDeflate(header).length).toBeLessThan(deflateRawSync(header, { level: 9 }).length * 1.2)
  })

  test('gives the bytes it has always given', () => {
    // A change of these bytes changes every wheel's layer: raise LAYOUT_VERSION with it.
    const text = 'the quick brown fox, the quick brown fox, the lazy dog\n'.repeat(3) + '\xff\x90\0\0\0\0\0'
    const header = encodeTarHeader({ type: 'file', path: 'a/b', mode: 0o644, mtimeSeconds: 315532800 })
    expect(tinyDeflate(Buffer.from(text, 'latin1')).toString('base64')).toMatchInlineSnapshot(
      `"K8lIVSgszUzOVkgqyi/PU0jLr9BRwCmYk1hVqZCSn84F4mBVgVWQUm3/JzCAAAA="`,
    )
    expect(tinyDeflate(header).toString('base64')).toMatchInlineSnapshot(
      `"S9RPYqA1MAACMxMTMA0E6DQIMBgYGZkZmxoZg9kG5mYGZgwKBkC9NAelxSWJRUArgUyKANDhIACnhwgAAA=="`,
    )
    expect(tinyDeflate(pseudoRandom(10)).toString('base64')).toMatchInlineSnapshot(`"i3/zOu3/iXyLm0EA"`)
  })
})

test.each([0, 1, 65535, 65536, 131_070, 131_071])(
  'storeDeflate() of %i bytes has the size that storedBytes() says',
  (length) => {
    const bytes = pseudoRandom(length)
    expect(storeDeflate(bytes)).toHaveLength(storedBytes(length))
    expect(inflateRawSync(storeDeflate(bytes)).equals(bytes)).toBe(true)
  },
)

describe('gzip members', () => {
  test('of every kind are read one after another', async () => {
    const bytes = pseudoRandom(100_000)
    const known = { crc32: crc32(bytes), sizeBytes: bytes.length }
    const file = Buffer.concat([
      tinyMember(Buffer.from('head')),
      await collect(deflateMember(openBytes(deflateRawSync(bytes))(), known), LIMIT),
      await collect(storedMember(openBytes(bytes)(), bytes.length), LIMIT),
      tinyMember(Buffer.alloc(0)),
      await collect(storedGzip(openBytes(bytes)()), LIMIT),
    ])
    expect(gunzipSync(file).equals(Buffer.concat([Buffer.from('head'), bytes, bytes, bytes]))).toBe(true)
  })

  test.each([1, 7, 65535, 65536, 70_000])('do not depend on how the source is cut (%i bytes)', async (size) => {
    const bytes = pseudoRandom(200_001)
    const whole = await collect(storedMember(openBytes(bytes)(), bytes.length), LIMIT)
    if (size > 1)
      expect((await collect(storedMember(inPieces(bytes, size), bytes.length), LIMIT)).equals(whole)).toBe(true)
    const stream = await collect(storedGzip(openBytes(bytes)()), LIMIT)
    if (size > 1) expect((await collect(storedGzip(inPieces(bytes, size)), LIMIT)).equals(stream)).toBe(true)
    expect(gunzipSync(stream).equals(bytes)).toBe(true)
  })

  test('of exactly one block and of nothing are sound', async () => {
    for (const length of [0, 65535]) {
      const bytes = pseudoRandom(length)
      expect(gunzipSync(await collect(storedGzip(openBytes(bytes)()), LIMIT)).equals(bytes)).toBe(true)
      expect(gunzipSync(await collect(storedMember(openBytes(bytes)(), length), LIMIT)).equals(bytes)).toBe(true)
    }
  })

  test('with other than the announced bytes are refused', async () => {
    const bytes = pseudoRandom(100)
    for (const announced of [0, 99, 101])
      await expect(collect(storedMember(openBytes(bytes)(), announced), LIMIT)).rejects.toThrow(RangeError)
  })
})
