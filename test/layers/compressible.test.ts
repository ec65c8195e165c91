import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { framingOf } from '../../layers/compressible.ts'
import type { RandomAccess } from '../../src/core/bytes.ts'

function memory(bytes: Buffer): RandomAccess {
  return {
    sizeBytes: bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
    stream: async function* (offset, length) {
      yield bytes.subarray(offset, offset + length)
    },
    close: async () => {},
  }
}

const COUNT = 200_000
const normal = (): number =>
  0.02 * Math.sqrt(-2 * Math.log(Math.random() + 1e-12)) * Math.cos(2 * Math.PI * Math.random())
const float32 = Float32Array.from({ length: COUNT }, normal)
const bfloat16 = Uint16Array.from(new Uint32Array(float32.buffer), (bits) => bits >>> 16)

test.each<[string, Buffer, string, string]>([
  ['random bytes', randomBytes(COUNT), 'stored', 'stored'],
  ['float32 weights', Buffer.from(float32.buffer), 'stored', 'stored'],
  // A fifth smaller: a minute and a half a gigabyte for gzip, three seconds for zstd.
  ['bfloat16 weights', Buffer.from(bfloat16.buffer), 'stored', 'zstd'],
  ['zeros', Buffer.alloc(COUNT), 'gzip', 'zstd'],
  ['text', Buffer.from('the quick brown fox '.repeat(COUNT / 20)), 'gzip', 'zstd'],
])('framingOf() chooses for %s', async (_, bytes, gzip, zstd) => {
  expect(await framingOf([memory(bytes)], 'gzip')).toBe(gzip)
  expect(await framingOf([memory(bytes)], 'zstd')).toBe(zstd)
  expect(await framingOf([memory(bytes)], 'none')).toBe('none')
})
