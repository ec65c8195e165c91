import { describe, expect, it } from 'vitest'
import { gzipSync } from 'node:zlib'
import { collect, copied } from '../../src/core/bytes.ts'
import { readArMembers } from '../../src/debian/ar.ts'
import { decompress } from '../../src/debian/compression.ts'
import { openDeb } from '../../src/debian/deb.ts'
import { readTar, type TarHeader } from '../../src/core/tar-reader.ts'
import { makeAr, makeDeb, makeTar } from '../support/debian-package.ts'
import { randomAccess } from '../support/random-access.ts'

async function* chunked(bytes: Uint8Array, size = 333): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function listTar(bytes: Uint8Array): Promise<(TarHeader & { text: string })[]> {
  const all = []
  for await (const { body, ...header } of readTar(chunked(bytes))) {
    all.push({ ...header, text: (await collect(body, 1 << 20)).toString('utf8') })
  }
  return all
}

const XZ_HELLO = Buffer.from(
  '/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAFaGVsbG8KAAAApWCX8ZT2/eAAAR4GwS+kHR+2830BAAAAAARZWg==',
  'base64',
)
const ZST_HELLO = Buffer.from('KLUv/QRYMQAAaGVsbG8KU4i9kQ==', 'base64')

describe('decompress()', () => {
  it('reads xz, zstd and gzip', async () => {
    for (const [compression, bytes] of [
      ['xz', XZ_HELLO],
      ['zst', ZST_HELLO],
      ['gz', gzipSync('hello\n')],
      ['', Buffer.from('hello\n')],
    ] as const) {
      const text = await collect(copied(decompress(chunked(bytes, 5), compression, 100)), 100)
      expect(text.toString(), compression).toBe('hello\n')
    }
  })

  it('refuses damaged and cut-off data', async () => {
    const flipped = Buffer.from(XZ_HELLO)
    flipped[30] = (flipped[30] ?? 0) ^ 255
    for (const [compression, bytes] of [
      ['xz', XZ_HELLO.subarray(0, 40)],
      ['xz', flipped],
      ['xz', Buffer.from('not xz at all')],
      ['zst', ZST_HELLO.subarray(0, 12)],
      ['gz', gzipSync('hello\n').subarray(0, 12)],
      ['gz', Buffer.from('not gzip')],
    ] as const) {
      await expect(collect(copied(decompress(chunked(bytes, 5), compression, 100)), 100), compression).rejects.toThrow(
        RangeError,
      )
    }
  })

  it('stops a decompression bomb', async () => {
    const bomb = gzipSync(Buffer.alloc(10 << 20))
    await expect(collect(decompress(chunked(bomb), 'gz', 1 << 20), 1 << 30)).rejects.toThrow('More than 1048576 bytes')
  })

  it('can be given up early and used again', async () => {
    for await (const chunk of decompress(chunked(XZ_HELLO), 'xz', 100)) {
      expect(chunk.length).toBeGreaterThan(0)
      break
    }
    expect((await collect(copied(decompress(chunked(XZ_HELLO), 'xz', 100)), 100)).toString()).toBe('hello\n')
  })
})

describe('readTar()', () => {
  it('reads files, folders, links and long names', async () => {
    const long = `${'x'.repeat(90)}/${'y'.repeat(120)}`
    const members = await listTar(
      makeTar([
        { name: './usr', type: 'directory' },
        { name: './usr/a', content: 'content of a' },
        { name: './usr/b', type: 'symlink', target: 'a' },
        { name: './usr/c', type: 'hardlink', target: './usr/a' },
        { name: long, content: 'ü' },
      ]),
    )
    expect(members.map(({ name, type, text, linkName }) => [name, type, text, linkName])).toEqual([
      ['./usr/', 'directory', '', ''],
      ['./usr/a', 'file', 'content of a', ''],
      ['./usr/b', 'symlink', '', 'a'],
      ['./usr/c', 'hardlink', '', './usr/a'],
      [long, 'file', 'ü', ''],
    ])
  })

  it('skips what the reader leaves of a body', async () => {
    const names = []
    for await (const { name } of readTar(chunked(makeTar([{ name: 'a', content: 'x'.repeat(5000) }, { name: 'b' }])))) {
      names.push(name)
    }
    expect(names).toEqual(['a', 'b'])
  })

  it('refuses lies: checksum, end, type, size, pax', async () => {
    const good = makeTar([{ name: 'a', content: 'x'.repeat(600) }])
    const wrongSum = Buffer.from(good)
    wrongSum[0] = 98
    const unknownType = reheader(good, (block) => block.write('S', 156))
    const wrongSize = reheader(good, (block) => block.write('zzzzzzzzzzz', 124))
    const paxed = makeTar([{ name: 'ü', content: '' }])
    paxed.write('99', 512)
    for (const [what, bytes] of Object.entries({
      wrongSum,
      unknownType,
      wrongSize,
      paxed,
      cut: good.subarray(0, 700),
    })) {
      await expect(listTar(bytes), what).rejects.toThrow(RangeError)
    }
  })
})

function reheader(tar: Buffer, change: (block: Buffer) => void): Buffer {
  const copy = Buffer.from(tar)
  const block = copy.subarray(0, 512)
  change(block)
  block.fill(32, 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return copy
}

describe('readArMembers()', () => {
  it('lists members with their places', async () => {
    const bytes = makeAr([
      { name: 'one', content: Buffer.from('abc') },
      { name: 'two/', content: Buffer.from('defg') },
    ])
    const members = await readArMembers(randomAccess(bytes))
    expect(members.map(({ name, sizeBytes }) => [name, sizeBytes])).toEqual([
      ['one', 3],
      ['two', 4],
    ])
    expect(members.map(({ offset, sizeBytes }) => bytes.toString('latin1', offset, offset + sizeBytes))).toEqual([
      'abc',
      'defg',
    ])
  })

  it('refuses lies about sizes and shapes', async () => {
    const good = makeAr([{ name: 'one', content: Buffer.from('abcd') }])
    const tooLarge = Buffer.from(good)
    tooLarge.write('9999999999', 8 + 48)
    const noNumber = Buffer.from(good)
    noNumber.write('-4        ', 8 + 48)
    const noEnd = Buffer.from(good)
    noEnd.write('xx', 8 + 58)
    const many = makeAr(Array.from({ length: 40 }, (_, index) => ({ name: `m${index}`, content: Buffer.alloc(0) })))
    for (const [what, bytes] of Object.entries({
      tooLarge,
      noNumber,
      noEnd,
      many,
      cut: good.subarray(0, 30),
      empty: Buffer.alloc(0),
      other: Buffer.from('PK\x03\x04 is a zip'),
    })) {
      await expect(readArMembers(randomAccess(bytes)), what).rejects.toThrow(RangeError)
    }
  })
})

describe('openDeb()', () => {
  const open = (bytes: Buffer) => openDeb(randomAccess(bytes), 'sample 1')

  it('reads control files and content', async () => {
    const deb = await open(
      makeDeb({
        package: 'sample',
        controlFiles: { postinst: '#!/bin/sh\n' },
        members: [{ name: './usr/a', content: 'a' }],
      }),
    )
    expect(deb.control.get('package')).toBe('sample')
    expect(deb.controlFiles.get('postinst')?.toString()).toBe('#!/bin/sh\n')
    const names = []
    for await (const { name } of deb.data()) names.push(name)
    expect(names).toEqual(['./usr/a'])
  })

  it('refuses archives that are no package, each by name', async () => {
    const control = gzipSync(makeTar([{ name: './control', content: 'Package: a\n' }]))
    const data = gzipSync(makeTar([]))
    const binary = { name: 'debian-binary', content: Buffer.from('2.0\n') }
    const cases: Record<string, Buffer> = {
      'no control.tar or no data.tar': makeAr([binary, { name: 'control.tar.gz', content: control }]),
      'does not start with debian-binary': makeAr([{ name: 'control.tar.gz', content: control }, binary]),
      'not 2.x': makeAr([
        { ...binary, content: Buffer.from('3.0\n') },
        { name: 'control.tar.gz', content: control },
        { name: 'data.tar.gz', content: data },
      ]),
      'stands where control.tar must': makeAr([
        binary,
        { name: 'data.tar.gz', content: data },
        { name: 'control.tar.gz', content: control },
      ]),
      'stands where data.tar must': makeAr([
        binary,
        { name: 'control.tar.gz', content: control },
        { name: 'data.tar.bz2', content: data },
      ]),
      'has no control file': makeAr([
        binary,
        { name: 'control.tar.gz', content: gzipSync(makeTar([])) },
        { name: 'data.tar.gz', content: data },
      ]),
      'leaves its folder': makeDeb({ package: 'a', controlFiles: { '../../../etc/cron.d/x': 'evil' } }),
      'control.tar holds ./sub/x': makeDeb({ package: 'a', controlFiles: { 'sub/x': '' } }),
      'Damaged gzip data': makeAr([
        binary,
        { name: 'control.tar.gz', content: control.subarray(0, 20) },
        { name: 'data.tar.gz', content: data },
      ]),
    }
    for (const [message, bytes] of Object.entries(cases)) {
      await expect(open(bytes), message).rejects.toMatchObject({
        code: 'ARCHIVE_INVALID',
        message: expect.stringContaining(message),
      })
    }
  })

  it('refuses a content that is cut off when it is read', async () => {
    const whole = gzipSync(makeTar([{ name: 'a', content: 'x'.repeat(5000) }]))
    const deb = await open(
      makeAr([
        { name: 'debian-binary', content: Buffer.from('2.0\n') },
        { name: 'control.tar.gz', content: gzipSync(makeTar([{ name: 'control', content: 'Package: a\n' }])) },
        { name: 'data.tar.gz', content: whole.subarray(0, whole.length - 20) },
      ]),
    )
    await expect(
      (async () => {
        for await (const { body } of deb.data()) await collect(body, 1 << 20)
      })(),
    ).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
  })
})
