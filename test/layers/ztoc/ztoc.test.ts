import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { writeTar } from '../../../layers/files.ts'
import { tinyMember } from '../../../layers/gzip-members.ts'
import { makeZtoc } from '../../../layers/ztoc/ztoc.ts'
import { collect, openBytes } from '../../../src/core/bytes.ts'
import { digestOf } from '../../../src/core/digest.ts'

const MIB = 2 ** 20
const large = Buffer.concat(
  Array.from({ length: 9 }, () => Buffer.concat([randomBytes(MIB / 2), Buffer.alloc(MIB / 2)])),
)
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

test('makeZtoc() says where every file lies and where reading can begin', async () => {
  const tar = await makeTar()
  const blob = Buffer.concat([tinyMember(tar.subarray(0, 1536)), gzipSync(tar.subarray(1536))])
  const { version, compressed, uncompressed, entries, spans, checkpoints } = readZtoc(
    await makeZtoc(openBytes(blob)(), 'a layer'),
  )
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

test('makeZtoc() refuses a damaged layer', async () => {
  const blob = gzipSync(await makeTar())
  blob.fill(0, 5000, 5100)
  await expect(makeZtoc(openBytes(blob)(), 'a layer')).rejects.toThrow()
})
