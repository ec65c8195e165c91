import { createHash } from 'node:crypto'
import { Decompress } from 'fzstd'
import { expect, test } from 'vitest'
import { compress } from '../../layers/compress.ts'
import { Outbox } from '../../layers/outbox.ts'
import { openZstd } from '../../layers/zstd.ts'
import { collect } from '../../src/core/bytes.ts'

const FRAME = 2 * 2 ** 20
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
    new Set(['99bb93b6c93cd74190e0ed4385cf899fb82e20c2a952c7cfa76712cb4d768308']),
  )
})

test('zstd streams side by side do not meet, and one that was given up harms none', async () => {
  const blobs = await Promise.all([1, 2].map((n) => collect(compress(pieces(FRAME + n, 300_000), 'zstd'), 2 ** 25)))
  const given = await openZstd(new Outbox())
  given.write(content.subarray(0, 1000))
  given.close()
  const [made, other] = [new Outbox(), new Outbox()]
  const [first, second] = [await openZstd(made), await openZstd(other)]
  // The frame of the one that was given up is another's now.
  given.write(Buffer.alloc(1000, 1))
  for await (const chunk of pieces(FRAME + 1, 300_000)) {
    first.write(chunk)
    second.write(chunk)
  }
  second.write(content.subarray(FRAME + 1, FRAME + 2))
  first.end()
  second.end()
  expect(Buffer.concat(made.take()).equals(blobs[0] ?? Buffer.alloc(0))).toBe(true)
  expect(Buffer.concat(other.take()).equals(blobs[1] ?? Buffer.alloc(0))).toBe(true)
})
