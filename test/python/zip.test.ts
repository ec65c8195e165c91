import { deflateRawSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isBuildError } from '../../src/core/errors.ts'
import { streamEntries } from '../../src/python/zip-stream.ts'
import { readEntry, readZip } from '../../src/python/zip.ts'
import { bytesAccess, makeZip, type ZipEnd, type ZipMember } from '../support/zip.ts'

const LIMIT = 2 ** 20

/** Reads everything there is to read, both ways. */
async function readAll(bytes: Buffer): Promise<Record<string, string>> {
  const source = bytesAccess(bytes)
  const archive = await readZip(source, 'x.whl')
  for await (const { data } of streamEntries(source, archive)) for await (const _ of data);
  const contents: Record<string, string> = {}
  for (const entry of archive.entries) contents[entry.name] = String(await readEntry(source, archive, entry, LIMIT))
  return contents
}

const a = { name: 'a.py', content: 'a = 1\n'.repeat(50) } as const
const b = { name: 'pkg/b.py', content: 'b = 2\n' } as const

describe('readZip() reads', () => {
  const sound: Record<string, readonly [readonly ZipMember[], ZipEnd?]> = {
    'an empty archive': [[]],
    'deflated members': [[a, b]],
    'stored members': [[{ ...a, method: 'stored' }, b]],
    'an empty file': [[{ name: 'empty' }, a]],
    'an empty stored file': [[{ name: 'empty', method: 'stored' }, a]],
    directories: [[{ name: 'pkg/' }, b]],
    'data descriptors': [
      [
        { ...a, descriptor: 'signed' },
        { ...b, descriptor: 'short' },
      ],
    ],
    'long data descriptors': [
      [
        { ...a, descriptor: 'long' },
        { ...b, descriptor: 'long-signed' },
      ],
    ],
    'zip64 sizes': [[{ ...a, zip64: true }, b]],
    'a zip64 field that only repeats the local sizes': [
      [{ ...a, local: { extra: zip64Field(300, deflateRawSync(a.content).length) } }, b],
    ],
    'a zip64 end record': [[a, b], { zip64: true }],
    'a comment': [[a], { comment: Buffer.from('made by hand') }],
    'UTF-8 names': [[{ name: 'pkg/é☺.txt', content: 'x' }]],
    'members not in the order of the directory': [[b, a]],
  }
  for (const [name, [members, end]] of Object.entries(sound)) {
    test(name, async () => {
      const contents = await readAll(makeZip(members, end))
      expect(contents).toEqual(Object.fromEntries(members.map((member) => [member.name, String(member.content ?? '')])))
    })
  }

  test('modes of Unix archives only', async () => {
    const members = [
      { ...a, mode: 0o100755 },
      { ...b, host: 0, mode: 0 },
    ]
    const { entries } = await readZip(bytesAccess(makeZip(members)), 'x.whl')
    expect(entries.map(({ mode }) => mode)).toEqual([0o755, undefined])
  })

  test('the tail of an archive with one read when it is small', async () => {
    const source = bytesAccess(makeZip([a, b]))
    await readZip(source, 'x.whl')
    expect(source.reads).toBe(2)
  })
})

describe('a zip archive is refused', () => {
  const other = Buffer.from('something else entirely')
  const inner = makeZip([b])
  const cases: Record<string, readonly [members: readonly ZipMember[], reason: RegExp, end?: ZipEnd]> = {
    'a name that climbs out': [[{ name: '../x', content: 'x' }], /leaves the folder/],
    'a name that climbs out later': [[{ name: 'a/../../x', content: 'x' }], /leaves the folder/],
    'an absolute name': [[{ name: '/etc/x', content: 'x' }], /absolute/],
    'a backslash': [[{ name: '..\\x', content: 'x' }], /backslash/],
    'a drive letter': [[{ name: 'C:x', content: 'x' }], /drive letter/],
    'an empty name': [[{ name: '', content: 'x' }], /empty/],
    'an empty part': [[{ name: 'a//b', content: 'x' }], /empty part/],
    'a dot part': [[{ name: './b', content: 'x' }], /empty part/],
    'a NUL in a name': [[{ name: 'a\0.py', content: 'x' }], /control character/],
    'a line end in a name': [[{ name: 'a\n.py', content: 'x' }], /control character/],
    'a DEL in a name': [[{ name: 'a\x7f.py', content: 'x' }], /control character/],
    'a part of 256 bytes': [[{ name: 'x'.repeat(256), content: 'x' }], /longer than 255/],
    'a path of 5000 bytes': [[{ name: 'x/'.repeat(2500) + 'x', content: 'x' }], /longer than 4095/],
    'a name that is no UTF-8': [
      [
        {
          ...a,
          central: { name: Buffer.from([0xff]), flags: 0x800 },
          local: { name: Buffer.from([0xff]), flags: 0x800 },
        },
      ],
      /not UTF-8/,
    ],
    'a name in an unknown encoding': [
      [{ ...a, central: { name: Buffer.from([0xe9]), flags: 0 }, local: { name: Buffer.from([0xe9]), flags: 0 } }],
      /not marked as UTF-8/,
    ],
    'a name twice': [[a, { ...a, content: 'other' }], /appears twice/],
    'a name twice with equal content': [[a, a], /appears twice/],
    'names that differ in case only': [[a, { ...a, name: 'A.py' }], /letter case/],
    'names that differ in Unicode form only': [
      [
        { ...a, name: 'caf\u00e9' },
        { ...a, name: 'cafe\u0301' },
      ],
      /letter case or form/,
    ],
    'a file that is also a folder': [[{ name: 'pkg', content: 'x' }, b], /a path that is a file/],
    'a symbolic link': [[{ ...a, mode: 0o120777 }], /symbolic link/],
    'a symbolic link from another system': [[{ ...a, mode: 0o120777, host: 0 }], /symbolic link/],
    'a device': [[{ ...a, mode: 0o020644 }], /character device/],
    'a named pipe': [[{ ...a, mode: 0o010644 }], /named pipe/],
    'a directory with content': [[{ name: 'pkg/', content: 'x', method: 'stored' }], /has content/],
    'a directory by mode, a file by name': [[{ ...a, mode: 0o040755 }], /is a directory/],
    'a wrong CRC-32': [[{ ...a, central: { crc32: 1 }, local: { crc32: 1 } }], /wrong CRC-32/],
    'a size that is too small': [
      [{ ...a, central: { sizeBytes: 10 }, local: { sizeBytes: 10 } }],
      /inflate to the size/,
    ],
    'a size that is too large': [[{ ...a, central: { sizeBytes: 301 }, local: { sizeBytes: 301 } }], /another size/],
    'a compressed size that is too small': [
      [{ ...a, central: { compressedBytes: 5 }, local: { compressedBytes: 5 } }, b],
      /belong to no member|inflate/,
    ],
    'a compressed size that is too large': [
      [{ ...a, central: { compressedBytes: 5000 }, local: { compressedBytes: 5000 } }, b],
      /overlaps/,
    ],
    'a stored member of two sizes': [
      [{ ...a, method: 'stored', central: { sizeBytes: 2 }, local: { sizeBytes: 2 } }],
      /two sizes/,
    ],
    'a bomb by its own words': [
      [{ ...a, central: { sizeBytes: 2 ** 31 }, local: { sizeBytes: 2 ** 31 } }],
      /more bytes than deflate/,
    ],
    'a file that is empty with data behind it': [
      [{ name: 'x', data: other, central: { method: 8 }, local: { method: 8 } }],
      /empty but has content/,
    ],
    'bytes after the end of a deflate stream': [
      [{ ...a, data: Buffer.concat([deflateRawSync(a.content), other]) }],
      /bytes after its end/,
    ],
    'another name in the local header': [[{ ...a, local: { name: 'b.py' } }], /name .* is not the directory's/],
    'another CRC-32 in the local header': [[{ ...a, local: { crc32: 7 } }], /CRC-32 .* is not the directory's/],
    'another size in the local header': [[{ ...a, local: { sizeBytes: 7 } }], /the size .* is not the directory's/],
    'another compressed size in the local header': [
      [{ ...a, local: { compressedBytes: 7 } }],
      /compressed size .* is not/,
    ],
    'another method in the local header': [[{ ...a, local: { method: 0 } }], /method .* is not the directory's/],
    'other flags in the local header': [[{ ...a, local: { flags: 0x800 } }], /flags .* are|flags .* is not/],
    'two entries over one local header': [[a, { ...b, central: { offset: 0 } }], /overlaps/],
    'an entry inside another': [
      [
        { ...a, method: 'stored', content: inner },
        { ...b, central: { offset: 35 } },
      ],
      /overlaps|no local header/,
    ],
    'an entry at no local header': [[a, { ...b, central: { offset: 40 } }], /overlaps|no local header/],
    'a local header that the directory does not know': [[{ ...a, after: inner }, b], /belong to no member/],
    'junk before': [[a], /precede|does not end where/, { before: other }],
    'junk before, with offsets that count it': [
      [{ ...a, central: { offset: other.length } }],
      /precede/,
      { before: other, directoryOffset: other.length + 30 + a.name.length + deflateRawSync(a.content).length },
    ],
    'two archives joined': [[a], /precede|does not end where/, { before: inner }],
    'trailing bytes': [[a], /bytes follow/, { trailing: other }],
    'an archive after the archive': [[a], /precede|does not end where/, { trailing: inner }],
    'an archive in the comment': [[a], /does not end where|precede|looks like a zip/, { comment: inner }],
    'a comment that starts like an archive': [[a], /looks like a zip/, { comment: Buffer.from('PK\x03\x04....') }],
    'a count that is too small': [[a, b], /counts fewer/, { count: 1 }],
    'a count that is too large': [[a, b], /counts more/, { count: 3 }],
    'a directory that is too short': [[a, b], /does not end where|cut short/, { directoryBytes: 20 }],
    'a zip64 end record that is not there': [[a], /zip64 end record is missing/, { count: 0xffff }],
    'a zip64 end record that contradicts': [[a], /contradicts/, { zip64: true, count: 7 }],
    'a zip64 end record with another count': [[a], /counts more/, { zip64: { count: 2 } }],
    'a zip64 end record at another place': [[a], /contradicts/, { zip64: { recordOffset: 0 } }],
    'a zip64 end record with extensible data': [
      [a],
      /extended/,
      { zip64: { recordBytes: 54, after: Buffer.alloc(10) } },
    ],
    'a zip64 field that lies beside true sizes': [
      [{ ...a, local: { extra: zip64Field(301, 20) } }, b],
      /zip64 field .* is not the directory's/,
    ],
    'a zip64 field that is missing': [[{ ...a, central: { sizeBytes: 0xffffffff } }], /lacks its zip64 field/],
    'a zip64 field that nothing asks for': [
      [{ ...a, central: { extra: Buffer.from([1, 0, 8, 0, 9, 9, 0, 0, 0, 0, 0, 0]) } }],
      /nothing asks for/,
    ],
    'a zip64 field twice': [
      [{ ...a, zip64: true, central: { extra: Buffer.concat([zip64Field(300, 20), zip64Field(300, 20)]) } }],
      /two extra fields/,
    ],
    'a malformed extra field': [
      [{ ...a, central: { extra: Buffer.from([9, 9, 200, 0]) } }],
      /extra field .* malformed/,
    ],
    'a second name in an extra field': [
      [{ ...a, central: { extra: Buffer.from([0x75, 0x70, 6, 0, 1, 0, 0, 0, 0, 0x62]) } }],
      /second name/,
    ],
    'a data descriptor that is missing': [[{ ...a, descriptor: Buffer.alloc(0) }, b], /descriptor .* missing or wrong/],
    'a data descriptor with another CRC-32': [
      [{ ...a, descriptor: Buffer.alloc(12, 1) }],
      /descriptor .* missing or wrong/,
    ],
    'a data descriptor that is unexpected': [[{ ...a, after: Buffer.alloc(12) }, b], /belong to no member/],
    'an encrypted member': [[{ ...a, central: { flags: 1 }, local: { flags: 1 } }], /encrypted/],
    bzip2: [[{ ...a, central: { method: 12 }, local: { method: 12 } }], /bzip2/],
    zstd: [[{ ...a, central: { method: 93 }, local: { method: 93 } }], /zstd/],
    'an unknown method': [[{ ...a, central: { method: 99 }, local: { method: 99 } }], /method 99/],
    'a member on another disk': [[{ ...a, central: { disk: 1 } }], /another disk/],
  }
  for (const [name, [members, reason, end]] of Object.entries(cases)) {
    test(`for ${name}`, async () => {
      const error = await readAll(makeZip(members, end)).then(
        (contents) => expect.unreachable(`read as ${JSON.stringify(contents)}`),
        (error: unknown) => error,
      )
      expect(isBuildError(error, 'ARCHIVE_INVALID'), String(error)).toBe(true)
      expect(String(error)).toMatch(reason)
      expect(String(error)).toContain('x.whl')
    })
  }

  test('for being cut anywhere', async () => {
    const whole = makeZip([a, b])
    for (let length = 0; length < whole.length; length += 7)
      await expect(readAll(whole.subarray(0, length))).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
  })
})

test('readZip() gives an archive or a BuildError for any bytes changed', async () => {
  const whole = makeZip([a, { ...b, descriptor: 'signed' }, { name: 'c/' }, { ...a, name: 'd', zip64: true }], {
    zip64: true,
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      async (changes) => {
        const bytes = Buffer.from(whole)
        for (const [at, value] of changes) bytes[at] = value
        try {
          await readAll(bytes)
        } catch (error) {
          expect(isBuildError(error), String(error)).toBe(true)
        }
      },
    ),
    { numRuns: 500 },
  )
})

function zip64Field(sizeBytes: number, compressedBytes: number): Buffer {
  const field = Buffer.alloc(20)
  field.writeUInt16LE(1, 0)
  field.writeUInt16LE(16, 2)
  field.writeUInt32LE(sizeBytes, 4)
  field.writeUInt32LE(compressedBytes, 12)
  return field
}
