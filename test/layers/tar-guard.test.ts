import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { collect, openBytes } from '../../src/core/bytes.ts'
import { guardTar } from '../../layers/tar-guard.ts'
import { readEntries, type TarEntry } from '../../src/run/unpack/tar-entries.ts'
import { blocks, checksummed, dir, file, paxRecord, symlink, tar } from '../run/tar-builder.ts'

const read = async (bytes: Uint8Array): Promise<TarEntry[]> => {
  const entries: TarEntry[] = []
  for await (const entry of readEntries(openBytes(bytes)())) {
    await collect(entry.body, 1e6)
    entries.push(entry)
  }
  return entries
}

/** A PAX header whose records are these bytes, followed by a file. */
const withPax = (records: Buffer, type = 'x'): Buffer =>
  Buffer.concat([...blocks({ name: 'pax', type, data: records }), ...blocks(file('short', 'data')), Buffer.alloc(1024)])

const spoiled = (change: (block: Buffer) => void, resum = true): Buffer => {
  const bytes = tar(file('f', 'x'))
  change(bytes)
  if (resum) checksummed(bytes.subarray(0, 512))
  return bytes
}

const hostile: readonly (readonly [name: string, bytes: Buffer, message: RegExp])[] = [
  ['a wrong checksum', spoiled((block) => block.write('7', 100), false), /wrong checksum at byte 0/],
  ['a size that is no number', spoiled((block) => block.write('zzz', 124)), /size that is no number/],
  ['a negative base-256 size', spoiled((block) => block.fill(0xff, 124, 136)), /size that is no number/],
  [
    'a base-256 size of 2^88',
    spoiled((block) => block.fill(0xff, 125, 136).writeUInt8(0x80, 124)),
    /size that is no number/,
  ],
  ['a negative device number', spoiled((block) => block.fill(0xff, 329, 337)), /device number that is no number/],
  ['an unknown type', spoiled((block) => block.write('Z', 156)), /unknown type "Z"/],
  ['a GNU sparse file', spoiled((block) => block.write('S', 156)), /sparse file/],
  ['a directory that claims data', spoiled((block) => block.write('5', 156)), /claims 1 bytes of data/],
  ['a hard link that claims data', spoiled((block) => block.write('1', 156)), /claims 1 bytes of data/],
  ['a PAX header of 2 MiB', withPax(paxRecord('comment', 'x'.repeat(2 ** 21))), /extended header of 2097\d+ bytes/],
  ['a GNU long name of 2 MiB', withPax(Buffer.alloc(2 ** 21, 0x61), 'L'), /extended header/],
  ['an empty PAX header', withPax(Buffer.alloc(0)), /empty extended header/],
  ['a PAX length that is too long', withPax(Buffer.from('99 path=x\n')), /lies about its length/],
  ['a PAX length that is too short', withPax(Buffer.from('5 path=x\n')), /lies about its length/],
  ['a PAX length of zero', withPax(Buffer.from('0 path=x\n')), /lies about its length/],
  ['a PAX length that is no number', withPax(Buffer.from('a path=x\n')), /lies about its length/],
  ['a PAX record without a newline', withPax(Buffer.from('9 path=xx')), /lies about its length/],
  ['a PAX record without a value', withPax(Buffer.from('7 path\n')), /lies about its length/],
  ['a PAX path that is no UTF-8', withPax(Buffer.from('10 path=\xff\n', 'latin1').subarray(0, 10)), /no UTF-8/],
  ['a PAX size that is no number', withPax(paxRecord('size', '1e3')), /size that is no number/],
  ['a PAX sparse file', withPax(paxRecord('GNU.sparse.major', '1')), /sparse file/],
  ['a global header that sets a path', withPax(paxRecord('path', 'x'), 'g'), /global header that sets path/],
  ['a global header that sets a size', withPax(paxRecord('size', '1'), 'g'), /global header that sets size/],
  ['an end in the middle of a file', tar(file('f', 'x'.repeat(600))).subarray(0, 1024), /cut short/],
  ['an end in the middle of a header', tar(file('f', 'x')).subarray(0, 300), /cut short/],
  ['an end after an extension header', Buffer.concat(blocks({ name: 'p', type: 'L', data: 'x' })), /cut short/],
  [
    'an entry after one zero block',
    Buffer.concat([Buffer.alloc(512), ...blocks(file('f', 'x')), Buffer.alloc(1024)]),
    /after an end marker/,
  ],
  [
    'nine extension headers in a row',
    Buffer.concat([
      ...Array.from({ length: 9 }, () => blocks({ name: 'l', type: 'L', data: 'x' })).flat(),
      Buffer.alloc(1024),
    ]),
    /too many extended headers/,
  ],
]

test.each(hostile)('readEntries() refuses %s', async (_name, bytes, message) => {
  await expect(read(bytes)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID', message: expect.stringMatching(message) })
})

test('readEntries() refuses owners that would wrap round to root', async () => {
  for (const uid of ['4294967296', '4294967295', '-1', 'x']) {
    const bytes = Buffer.concat([...blocks({ ...file('f'), pax: { uid } }), Buffer.alloc(1024)])
    await expect(read(bytes)).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringMatching(/owner/),
    })
  }
})

test('readEntries() refuses a name with a zero byte from a PAX header', async () => {
  const bytes = withPax(paxRecord('path', 'a\0b'))
  await expect(read(bytes)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
})

test('readEntries() reads PAX names, sizes and times, and moves times that no clock has', async () => {
  const long = `${'d/'.repeat(120)}é`
  const bytes = Buffer.concat([
    ...blocks({ ...file('x', 'hello'), pax: { path: long, mtime: '12.5', 'SCHILY.xattr.user.a': 'b' } }),
    ...blocks({ ...file('y'), pax: { mtime: '-5' } }),
    ...blocks({ ...file('z'), pax: { mtime: '1e20' } }),
    ...blocks({ ...file('n'), pax: { mtime: 'nan' } }),
    Buffer.alloc(1024),
  ])
  const [first, second, third, fourth] = await read(bytes)
  expect(Buffer.from(first?.path ?? '', 'latin1').toString()).toBe(long)
  expect(first).toMatchObject({ mtimeSeconds: 12.5, sizeBytes: 5, xattrs: { 'user.a': 'b' } })
  expect([second?.mtimeSeconds, third?.mtimeSeconds, fourth?.mtimeSeconds]).toEqual([0, 2 ** 34, 0])
})

test('readEntries() keeps names that are no UTF-8 byte for byte', async () => {
  const [entry] = await read(tar(file('caf\xe9')))
  expect(Buffer.from(entry?.path ?? '', 'latin1')).toEqual(Buffer.from('caf\xe9', 'latin1'))
})

test('readEntries() tells where the data of each file begins', async () => {
  const bytes = tar(dir('a'), file('a/b', 'first'), symlink('b', 'a/c'), file('a/d', 'second'))
  for (const entry of await read(bytes)) {
    if (entry.kind !== 'file') continue
    expect(bytes.subarray(entry.offset, entry.offset + entry.sizeBytes).toString()).toMatch(/^(first|second)$/)
  }
})

test('guardTar() swallows what follows the end marker, and no entry there is seen', async () => {
  const bytes = Buffer.concat([tar(file('f', 'x')), Buffer.from('garbage'), ...blocks(file('hidden', 'y'))])
  expect((await read(bytes)).map((entry) => entry.path)).toEqual(['f'])
})

test('guardTar() passes archives on unchanged, however they are cut into chunks', async () => {
  const bytes = tar(
    dir('a'),
    { ...file('a/b', 'x'.repeat(1500)), pax: { path: 'long' } },
    file('c', ''),
    symlink('c', 'd'),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 5, max: 700 }), { minLength: 1 }), async (sizes) => {
      async function* cut(): AsyncGenerator<Uint8Array> {
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1
          yield bytes.subarray(at, at + size)
          at += size
        }
      }
      expect(await collect(guardTar(cut(), 'x.tar'), 1e6)).toEqual(bytes)
    }),
    { numRuns: 20 },
  )
})

test('guardTar() ends, well or with an error of its own, on any bytes', async () => {
  const seed = tar(dir('a'), { ...file('a/b', 'data'), pax: { path: 'other' } }, file('c', 'x'))
  const mutated = fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { maxLength: 8 }).map((changes) => {
    const bytes = Buffer.from(seed)
    for (const [at, value] of changes) bytes[at] = value
    return bytes
  })
  await fc.assert(
    fc.asyncProperty(mutated, async (bytes) => {
      await read(bytes).catch((error: unknown) => expect(error).toMatchObject({ code: 'ARCHIVE_INVALID' }))
    }),
    { numRuns: 100 },
  )
})
