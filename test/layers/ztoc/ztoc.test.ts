import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { writeTar } from '../../../layers/files.ts'
import { tinyMember } from '../../../layers/gzip-members.ts'
import { readParts } from '../../../layers/ztoc/spill.ts'
import { openIndexingGunzip, openIndexingGzip } from '../../../layers/ztoc/ztoc.ts'
import { collect, copied, openBytes } from '../../../src/core/bytes.ts'
import { digestOf } from '../../../src/core/digest.ts'

const MIB = 2 ** 20
// The same in every run: where a damaged stream stops to make sense depends on what it holds.
const noise = (n: number): Buffer =>
  createHash('shake256', { outputLength: MIB / 2 })
    .update(String(n))
    .digest()
const large = Buffer.concat(Array.from({ length: 9 }, (_, n) => Buffer.concat([noise(n), Buffer.alloc(MIB / 2)])))
const long = `${'folder/'.repeat(20)}file`

async function makeTar(): Promise<Buffer> {
  const file = (path: string, bytes: Buffer) =>
    ({ kind: 'file', path, mode: 0o644, sizeBytes: bytes.length, open: openBytes(bytes) }) as const
  const entries = [
    { kind: 'directory', path: 'a', mode: 0o755 } as const,
    file('a/large', large),
    file(long, Buffer.from('x')),
    { kind: 'symlink', path: 'a/link', mode: 0o777, target: 'large' } as const,
  ]
  return collect(writeTar(entries), 2 ** 25)
}

async function makeZtoc(blob: Buffer, step = 1 << 16): Promise<Buffer> {
  const gunzip = openIndexingGunzip(() => {}, 'a layer')
  const piece = Buffer.alloc(step)
  for (let at = 0; at < blob.length; at += step) {
    // The memory is filled again, as a thread's is.
    const bytes = blob.copy(piece, 0, at, at + step)
    await gunzip.write(piece.subarray(0, bytes))
  }
  await gunzip.end()
  return collect(copied(readParts(gunzip.ztoc())), 2 ** 25)
}

test('a table that is made while a layer is compressed is the same', async () => {
  const tar = await makeTar()
  for (const step of [1000, 1 << 18]) {
    const gzip = openIndexingGzip('a layer')
    const made: Buffer[] = []
    for (let at = 0; at < tar.length; at += step) {
      gzip.write(tar.subarray(at, at + step))
      made.push(gzip.take())
    }
    gzip.end()
    made.push(gzip.take())
    const table = await collect(copied(readParts(gzip.ztoc())), 2 ** 25)
    expect(table.equals(await makeZtoc(Buffer.concat(made))), `${step}`).toBe(true)
  }
})

test('a table is made of no tar that readers disagree about', async () => {
  const gzip = openIndexingGzip('a layer')
  expect(() => gzip.write(Buffer.alloc(2048, 1))).toThrowError(expect.objectContaining({ code: 'ARCHIVE_INVALID' }))
})

/** The parts of a FlatBuffers table that the tests look at; the reference reads the rest (`test/interop/lazy.test.ts`). */
function readZtoc(bytes: Uint8Array) {
  const buffer = Buffer.from(bytes)
  const follow = (at: number): number => at + buffer.readUInt32LE(at)
  const field = (table: number, n: number): number =>
    table + buffer.readUInt16LE(table - buffer.readInt32LE(table) + 4 + 2 * n)
  const long = (at: number): number => Number(buffer.readBigInt64LE(at))
  const content = (at: number): Buffer => {
    const start = follow(at)
    return buffer.subarray(start + 4, start + 4 + buffer.readUInt32LE(start))
  }
  const list = (at: number): number[] => {
    const start = follow(at)
    return Array.from({ length: buffer.readUInt32LE(start) }, (_, n) => start + 4 + 4 * n)
  }
  const root = follow(0)
  const toc = follow(field(root, 4))
  const compression = follow(field(root, 5))
  return {
    version: content(field(root, 0)).toString(),
    compressed: long(field(root, 2)),
    uncompressed: long(field(root, 3)),
    entries: list(field(toc, 0)).map((at) => {
      const entry = follow(at)
      const text = (n: number): string => content(field(entry, n)).toString()
      return { name: text(0), type: text(1), offset: long(field(entry, 2)), link: text(4) }
    }),
    spans: list(field(compression, 2)).map((at) => content(at).toString()),
    checkpoints: content(field(compression, 3)),
  }
}

test('a table says where every file lies and where reading can begin', async () => {
  const tar = await makeTar()
  const blob = Buffer.concat([tinyMember(tar.subarray(0, 1536)), gzipSync(tar.subarray(1536))])
  const { version, compressed, uncompressed, entries, spans, checkpoints } = readZtoc(await makeZtoc(blob))
  expect({ version, compressed, uncompressed }).toEqual({
    version: '0.9',
    compressed: blob.length,
    uncompressed: tar.length,
  })
  expect(entries.map(({ name, type, link }) => [name.replace(/\/$/, ''), type, link])).toEqual([
    ['a', 'dir', ''],
    ['a/large', 'reg', ''],
    [long, 'reg', ''],
    ['a/link', 'symlink', 'large'],
  ])
  const at = entries[1]?.offset ?? 0
  expect(tar.subarray(at, at + 100).equals(large.subarray(0, 100))).toBe(true)
  // 9 MiB in spans of 4: the start and two more.
  expect(checkpoints.readInt32LE(0)).toBe(3)
  expect(checkpoints.length).toBe(12 + 3 * (17 + 32768))
  expect(Number(checkpoints.readBigInt64LE(12))).toBe(10)
  const second = Number(checkpoints.readBigInt64LE(12 + 17 + 32768))
  expect(spans[0]).toBe(digestOf(blob.subarray(10, second)))
  expect(spans).toHaveLength(3)
})

test('openIndexingGunzip() refuses a damaged layer', async () => {
  const blob = gzipSync(await makeTar())
  blob.fill(0, 5000, 5100)
  await expect(makeZtoc(blob)).rejects.toThrow(/incorrect|invalid/)
})

test('a table is the same in whatever pieces the layer comes', async () => {
  const blob = gzipSync(await makeTar())
  const whole = await makeZtoc(blob, blob.length)
  for (const step of [777, 100_003, 3_000_000]) expect((await makeZtoc(blob, step)).equals(whole)).toBe(true)
})

test("a span's digest is of its own bytes, with the one that it begins amid", async () => {
  const blob = gzipSync(await makeTar())
  const { spans, checkpoints } = readZtoc(await makeZtoc(blob))
  const starts = spans.map((_, n) => {
    const at = 12 + n * (17 + 32768)
    return { inBytes: Number(checkpoints.readBigInt64LE(at)), bits: checkpoints.readUInt8(at + 16) }
  })
  expect(starts.some(({ bits }) => bits > 0)).toBe(true)
  const digests = starts.map(({ inBytes, bits }, n) =>
    digestOf(blob.subarray(inBytes - (bits > 0 ? 1 : 0), starts[n + 1]?.inBytes ?? blob.length)),
  )
  expect(spans).toEqual(digests)
})

test('a layer with more checkpoints than one piece holds has them all', async () => {
  const tar = await collect(
    writeTar([{ kind: 'file', path: 'zeros', mode: 0o644, sizeBytes: 160 * MIB, open: () => zeros(160) } as const]),
    2 ** 28,
  )
  const { checkpoints, spans } = readZtoc(await makeZtoc(gzipSync(tar, { level: 1 })))
  expect(spans.length).toBeGreaterThan(31)
  expect(checkpoints.readInt32LE(0)).toBe(spans.length)
  expect(checkpoints.length).toBe(12 + spans.length * (17 + 32768))
})

async function* zeros(megabytes: number): AsyncGenerator<Uint8Array> {
  for (let n = 0; n < megabytes; n++) yield Buffer.alloc(MIB)
}
