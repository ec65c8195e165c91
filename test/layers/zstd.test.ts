import { createHash } from 'node:crypto'
import { Decompress } from 'fzstd'
import { expect, test } from 'vitest'
import { compress } from '../../layers/compress.ts'
import { collect } from '../../src/core/bytes.ts'

const FRAME = 4 * 2 ** 20
/** Content that compresses. */
const content = Buffer.alloc(2 * FRAME + 5)
for (let n = 0; n < content.length; n++) content[n] = (n * 31) >> 5

async function* pieces(bytes: number, step: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes; at += step) yield content.subarray(at, Math.min(bytes, at + step))
}

function unpack(blob: Uint8Array): Buffer {
  const parts: Uint8Array[] = []
  const decompress = new Decompress((part) => void parts.push(part))
  decompress.push(blob, true)
  return Buffer.concat(parts)
}

test.each([0, 1, 1000, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME + 5])('zstd gives back %i bytes', async (bytes) => {
  const blob = await collect(compress(pieces(bytes, 100_000), 'zstd'), 2 ** 25)
  expect(unpack(blob).equals(content.subarray(0, bytes))).toBe(true)
})

test('zstd depends on the content alone, not on how it arrives', async () => {
  const blobs = await Promise.all(
    [777, 65_536, 5_000_000].map((step) => collect(compress(pieces(5_000_000, step), 'zstd'), 2 ** 25)),
  )
  expect(new Set(blobs.map((blob) => createHash('sha256').update(blob).digest('hex')))).toEqual(
    // The same on every Node and machine: another value is another compressor and needs another name in the keys.
    new Set(['3aac4a8d24a38b97097f2dc260605dd748c0de588ccbd2cca3c8c4a7fa8d492f']),
  )
})
