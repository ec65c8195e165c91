import { gzipSync } from 'node:zlib'
import { pack, type Header } from 'tar-stream'
import { describe, expect, test } from 'vitest'
import { makeLayerStream, type LayerSpec } from '../../layers/kinds/index.ts'
import { readTar } from '../../layers/tar.ts'
import { encodeTarHeader, TAR_END } from '../../layers/tar-header.ts'
import { collect, openBytes } from '../../src/core/bytes.ts'
import { silent } from '../../src/core/progress.ts'
import { filesOf, readLayer, type ReadLayer } from '../support/layer-bytes.ts'
import { bytesAccess } from '../support/zip.ts'

type Item = Partial<Header> & { readonly name: string; readonly text?: string }

async function tarOf(items: readonly Item[]): Promise<Buffer> {
  const tar = pack()
  for (const { text, ...header } of items) {
    if (text === undefined) tar.entry(header)
    else tar.entry(header, text)
  }
  tar.finalize()
  return collect(tar as AsyncIterable<Uint8Array>, 2 ** 24)
}

async function lay(gz: Buffer, change: object = {}): Promise<ReadLayer> {
  const spec = {
    kind: 'archive',
    label: 'Python 3.11',
    archive: { url: 'https://example.org/python.tar.gz', sha256: 'x', sizeBytes: gz.length },
    target: 'opt/python',
    strip: 1,
    ...change,
  } satisfies LayerSpec
  const context = { openRemote: async () => bytesAccess(gz), projectFolder: '/', report: silent }
  return readLayer(await makeLayerStream(spec, context))
}

const usual: readonly Item[] = [
  { name: 'python/bin/python3.11', mode: 0o4755, uid: 5, gid: 6, text: 'ELF', mtime: new Date(5000) },
  { name: 'python/bin/python3', type: 'symlink', linkname: 'python3.11' },
  { name: 'python/bin/hard', type: 'link', linkname: 'python/bin/python3.11' },
  { name: 'python/lib/', type: 'directory', mode: 0o700 },
  { name: 'python/lib/a.py', text: 'a' },
  { name: 'python/lib/EXTERNALLY-MANAGED', text: 'x' },
]

describe('an archive layer', () => {
  test('lays the archive under its target without the top folder', async () => {
    const layer = await lay(gzipSync(await tarOf(usual)), {
      leaveOut: ['lib/EXTERNALLY-MANAGED'],
      extra: [{ path: 'opt/python/bin/python', link: 'python3' }],
    })
    expect(layer.members.map(({ name, type, mode, uid }) => [name, type, mode, uid])).toEqual([
      ['opt/', 'directory', 0o755, 0],
      ['opt/python/', 'directory', 0o755, 0],
      ['opt/python/bin/', 'directory', 0o755, 0],
      ['opt/python/bin/python3.11', 'file', 0o755, 0],
      ['opt/python/bin/python3', 'symlink', 0o777, 0],
      ['opt/python/bin/hard', 'link', 0o644, 0],
      ['opt/python/lib/', 'directory', 0o700, 0],
      ['opt/python/lib/a.py', 'file', 0o644, 0],
      ['opt/python/bin/python', 'symlink', 0o777, 0],
    ])
    expect(layer.members[3]?.mtimeSeconds).toBe(5)
    expect(layer.members[5]?.target).toBe('opt/python/bin/python3.11')
    expect(filesOf(layer)['opt/python/lib/a.py']).toBe('a')
  })

  const hostile: Record<string, readonly [Item[], RegExp]> = {
    'a path that climbs out': [[{ name: 'python/../../etc/x', text: 'x' }], /leaves the folder/],
    'an absolute path': [[{ name: '/etc/x', text: 'x' }], /absolute/],
    'a link that leads out': [[{ name: 'python/a', type: 'symlink', linkname: '../../etc' }], /leads out/],
    'an absolute link': [[{ name: 'python/a', type: 'symlink', linkname: '/etc' }], /leads out/],
    'a path below a link': [
      [
        { name: 'python/a', type: 'symlink', linkname: 'b' },
        { name: 'python/a/x', text: 'x' },
      ],
      /below a path that is no folder/,
    ],
    'a hard link to nothing': [[{ name: 'python/a', type: 'link', linkname: 'python/gone' }], /no earlier file/],
    'a hard link to a link': [
      [
        { name: 'python/b', type: 'symlink', linkname: 'c' },
        { name: 'python/a', type: 'link', linkname: 'python/b' },
      ],
      /no earlier file/,
    ],
    'a hard link that climbs out': [
      [{ name: 'python/a', type: 'link', linkname: '../../etc/passwd' }],
      /leaves the folder/,
    ],
    'a device': [[{ name: 'python/a', type: 'character-device' }], /is a character-device/],
    'a named pipe': [[{ name: 'python/a', type: 'fifo' }], /is a fifo/],
    'a path twice': [
      [
        { name: 'python/a', text: '1' },
        { name: 'python/a', text: '2' },
      ],
      /appears twice/,
    ],
  }
  for (const [name, [items, reason]] of Object.entries(hostile)) {
    test(`refuses ${name}`, async () => {
      await expect(lay(gzipSync(await tarOf(items)))).rejects.toMatchObject({
        code: 'ARCHIVE_INVALID',
        message: expect.stringMatching(reason),
      })
    })
  }

  test('refuses a file that is no gzip, cut short, or damaged', async () => {
    const gz = gzipSync(await tarOf(usual))
    for (const bytes of [
      Buffer.from('no gzip'),
      gz.subarray(0, gz.length - 9),
      Buffer.concat([gz.subarray(0, 60), Buffer.alloc(40), gz.subarray(100)]),
    ])
      await expect(lay(bytes)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
  })
})

describe('readTar() refuses', () => {
  const header = { type: 'file', path: 'a', mode: 0o644, mtimeSeconds: 0 } as const
  const patched = (change: (block: Buffer) => void, seal = true): Buffer => {
    const block = encodeTarHeader(header)
    change(block)
    if (seal) {
      block.write('        ', 148, 'latin1')
      const sum = block.reduce((sum, byte) => sum + byte, 0)
      block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
    }
    return Buffer.concat([block, TAR_END])
  }
  const pax = (text: string, type = 'x', size = text.length): Buffer =>
    Buffer.concat([
      patched((block) => {
        block.write(type, 156)
        block.write(`${size.toString(8).padStart(11, '0')}\0`, 124)
      }).subarray(0, 512),
      Buffer.from(text.padEnd(512, '\0')),
      encodeTarHeader(header),
      TAR_END,
    ])
  const cases: Record<string, readonly [Buffer, RegExp]> = {
    'a wrong checksum': [patched((block) => block.write('b', 0), false), /wrong checksum at byte 0/],
    'a size that is no number': [patched((block) => block.write('9x', 124)), /no number/],
    'a negative size': [patched((block) => block.fill(0xff, 124, 136)), /no number/],
    'a size beyond all bounds': [patched((block) => block.fill(0x80, 124, 125).fill(0xff, 125, 136)), /no number/],
    'a PAX record that is too long': [pax('99 path=x\n'), /lies about its length/],
    'a PAX record that is too short': [pax('5 path=x\n'), /lies about its length/],
    'a PAX record without a line end': [pax('9 path=xx'), /lies about its length/],
    'a PAX record without a length': [pax('path=x\n'), /lies about its length/],
    'an endless PAX header': [pax('x', 'x', 512 * 2 ** 20), /extended header of 536870912 bytes/],
    'an endless GNU long name': [pax('x', 'L', 2 ** 21), /extended header/],
    'a global header that renames': [pax('10 path=x\n', 'g'), /global header that sets path/],
    'a sparse file of GNU': [patched((block) => block.write('S', 156)), /sparse/],
    'a sparse file of PAX': [pax('22 GNU.sparse.major=1\n'), /sparse/],
    'a device number out of range': [
      patched((block) => block.write('3', 156).toString() && block.fill(0xff, 329, 337)),
      /device number/,
    ],
    'a file that is cut short': [patched((block) => block.write('00000010000\0', 124)).subarray(0, 700), /cut short/],
    'a header that is cut short': [patched(() => {}).subarray(0, 100), /cut short/],
  }
  for (const [name, [tar, reason]] of Object.entries(cases)) {
    test(name, async () => {
      const read = async (): Promise<void> => {
        for await (const member of readTar(openBytes(tar)(), 'x.tar')) for await (const _ of member.data);
      }
      await expect(read()).rejects.toMatchObject({ code: 'ARCHIVE_INVALID', message: expect.stringMatching(reason) })
    })
  }

  test('nothing of what follows the end of an archive', async () => {
    const tar = Buffer.concat([encodeTarHeader(header), TAR_END, Buffer.from('garbage')])
    const names: string[] = []
    for await (const { name } of readTar(openBytes(tar)(), 'x.tar')) names.push(name)
    expect(names).toEqual(['a'])
  })
})
