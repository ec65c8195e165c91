import { describe, expect, test } from 'vitest'
import type { Entry } from '../../layers/entry.ts'
import { layerOfEntries, layerOfSorted } from '../../layers/files.ts'
import { makeLayerStream, type LayerSpec } from '../../layers/kinds/index.ts'
import { collect, openBytes } from '../../src/core/bytes.ts'
import { silent } from '../../src/core/progress.ts'
import { filesOf, readLayer } from '../support/layer-bytes.ts'

const file = (path: string, text = path): Entry => ({
  kind: 'file',
  path,
  mode: 0o644,
  sizeBytes: Buffer.byteLength(text),
  open: openBytes(Buffer.from(text)),
})

describe('layerOfEntries()', () => {
  test('sorts, adds parents, and is the same in any order', async () => {
    const entries: Entry[] = [
      file('b/c'),
      file('a'),
      file('b-d'),
      { kind: 'symlink', path: 'b/link', target: 'c', mode: 0o777 },
    ]
    const layer = await readLayer(layerOfEntries(entries))
    expect(layer.members.map(({ name }) => name)).toEqual(['a', 'b/', 'b/c', 'b/link', 'b-d'])
    expect((await readLayer(layerOfEntries(entries.toReversed()))).digest).toBe(layer.digest)
  })

  test('keeps owners, modes and times that entries have', async () => {
    const layer = await readLayer(
      layerOfEntries([{ ...file('a'), mode: 0o4755, uid: 7, gid: 8, mtimeSeconds: 9 } as Entry, file('b')], {
        mtimeSeconds: 5,
      }),
    )
    expect(layer.members).toMatchObject([
      { name: 'a', mode: 0o4755, uid: 7, gid: 8, mtimeSeconds: 9 },
      { name: 'b', mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 5 },
    ])
  })

  test('puts hard links after their files', async () => {
    const layer = await readLayer(
      layerOfEntries([{ kind: 'hardlink', path: 'a', target: 'z', mode: 0o644 }, file('z')]),
    )
    expect(layer.members.map(({ name, type }) => [name, type])).toEqual([
      ['z', 'file'],
      ['a', 'link'],
    ])
  })

  test('writes whiteouts', async () => {
    const layer = await readLayer(
      layerOfEntries([
        { kind: 'whiteout', path: 'etc/motd', opaque: false },
        { kind: 'whiteout', path: 'var/cache', opaque: true },
      ]),
    )
    expect(layer.members.map(({ name }) => name)).toEqual([
      'etc/',
      'etc/.wh.motd',
      'var/',
      'var/cache/',
      'var/cache/.wh..wh..opq',
    ])
  })

  test('refuses what a layer cannot say', () => {
    expect(() => layerOfEntries([file('a/.wh.x')])).toThrow(expect.objectContaining({ code: 'PROJECT_INVALID' }))
    expect(() => layerOfEntries([file('a'), file('a')])).toThrow(RangeError)
    expect(() => layerOfEntries([{ kind: 'hardlink', path: 'a', target: 'gone', mode: 0 }])).toThrow(RangeError)
  })

  test.each([0, 3, 9])('refuses a file that has %i bytes instead of 5', async (length) => {
    const entry = { ...file('a', 'abcde'), open: openBytes(Buffer.alloc(length)) } as Entry
    await expect(readLayer(layerOfEntries([entry]))).rejects.toMatchObject({ code: 'PROJECT_INVALID' })
  })

  test('passes on the failure of a file, whatever the compression', async () => {
    const failing: Entry = {
      ...(file('a', 'abc') as Entry & { kind: 'file' }),
      // oxlint-disable-next-line require-yield -- it fails first
      open: async function* () {
        throw new Error('disk on fire')
      },
    }
    for (const compression of ['gzip', 'stored', 'none'] as const)
      await expect(readLayer(layerOfEntries([failing], { compression }))).rejects.toThrow('disk on fire')
  })

  test('has one diffId for every compression', async () => {
    const entries = [file('a', 'a'.repeat(100_000)), file('b')]
    const layers = await Promise.all(
      (['gzip', 'stored', 'none'] as const).map((compression) => readLayer(layerOfEntries(entries, { compression }))),
    )
    expect(new Set(layers.map(({ diffId }) => diffId)).size).toBe(1)
    const [gzip, stored, none] = layers.map(({ blob }) => blob.length)
    expect(gzip).toBeLessThan(5000)
    expect(stored).toBeGreaterThan(none ?? 0)
  })

  test('is zstd with the same diffId', async () => {
    const entries = [file('a')]
    const layer = layerOfEntries(entries, { compression: 'zstd' })
    const blob = await collect(layer.blob, 2 ** 20)
    expect(blob.readUInt32LE(0)).toBe(0xfd2fb528)
    expect(layer.mediaType).toBe('application/vnd.oci.image.layer.v1.tar+zstd')
    expect(layer.diffId()).toBe((await readLayer(layerOfEntries(entries))).diffId)
  })

  test('has a gzip header that tells nothing about the host', async () => {
    const { blob } = await readLayer(layerOfEntries([file('a')]))
    expect(blob.subarray(0, 10).toString('hex')).toBe('1f8b08000000000000ff')
  })

  test('knows its diffId only when it was read', () => {
    expect(() => layerOfEntries([file('a')]).diffId()).toThrow(TypeError)
  })
})

describe('layerOfSorted()', () => {
  const link = (path: string): Entry => ({ kind: 'symlink', path, mode: 0o777, target: 'x' })

  test.each([
    ['no entries', []],
    ['a file at the top', [file('a')]],
    [
      'folders of all depths',
      [file('a/b/c/d'), file('a/b/e'), file('a/b-c'), file('a-b/c'), link('f/g/h'), file('f/i')],
    ],
    [
      'a folder of its own',
      [{ kind: 'directory', path: 'a/b', mode: 0o700 }, file('a/b/c'), file('a/bc/d')] satisfies Entry[],
    ],
    ['names that begin alike', [file('lib/a'), file('lib.d/a'), file('library'), file('libs/a')]],
    ['other alphabets', [file('a/é'), file('a/日本'), file('a/\u{1F600}'), file('é/a')]],
  ])('is the layer that the same entries in any order become: %s', async (_, entries: readonly Entry[]) => {
    const layer = await readLayer(layerOfSorted(entries))
    expect(layer.members).toEqual((await readLayer(layerOfEntries(entries.toReversed()))).members)
    expect(layer.digest).toBe((await readLayer(layerOfEntries(entries.toReversed()))).digest)
  })

  test.each([
    ['in the wrong order', [file('b'), file('a')]],
    ['in the order of code units', [file('a-b'), file('a/c')]],
    ['twice', [file('a'), file('a')]],
  ])('refuses entries %s', async (_, entries) => {
    await expect(readLayer(layerOfSorted(entries))).rejects.toThrow(RangeError)
  })

  test('refuses names that mean "deleted"', async () => {
    await expect(readLayer(layerOfSorted([file('a/.wh.b')]))).rejects.toMatchObject({ code: 'PROJECT_INVALID' })
  })

  test('asks for an entry when the one before it is written', async () => {
    const asked: string[] = []
    const entries = function* (): Generator<Entry> {
      for (const path of ['a', 'b', 'c']) {
        asked.push(path)
        yield file(path, 'x'.repeat(1 << 16))
      }
    }
    const blob = layerOfSorted(entries(), { compression: 'none' }).blob[Symbol.asyncIterator]()
    expect(asked).toEqual([])
    for (let n = 0; n < 3; n++) await blob.next()
    expect(asked.length).toBeLessThan(3)
  })
})

test('an inline layer holds text, bytes, links and folders', async () => {
  const spec: LayerSpec = {
    kind: 'inline',
    label: 'test',
    files: [
      { path: 'etc/a', text: 'é' },
      { path: 'etc/b', base64: Buffer.from([0, 255]).toString('base64'), mode: 0o755 },
      { path: 'etc/c', link: 'a' },
      { path: 'var/empty', directory: true, mode: 0o1777 },
    ],
  }
  const context = { projectFolder: '/', report: silent, openRemote: () => Promise.reject(new Error('no network')) }
  const layer = await readLayer(await makeLayerStream(spec, context))
  expect(filesOf(layer)['etc/a']).toBe('é')
  expect(layer.members).toMatchObject([
    { name: 'etc/' },
    { name: 'etc/a', mode: 0o644 },
    { name: 'etc/b', mode: 0o755, content: Buffer.from([0, 255]) },
    { name: 'etc/c', target: 'a' },
    { name: 'var/' },
    { name: 'var/empty/', mode: 0o1777 },
  ])
})

test('a tree layer holds files of this package', async () => {
  const { createHash } = await import('node:crypto')
  const { readFile } = await import('node:fs/promises')
  const { packageRoot } = await import('../../src/core/package-root.ts')
  const bytes = await readFile(`${packageRoot()}/LICENSE`)
  const files = [
    { path: 'LICENSE', sizeBytes: bytes.length, mode: 0o644, sha256: createHash('sha256').update(bytes).digest('hex') },
  ]
  const spec: LayerSpec = { kind: 'tree', label: 'licence', parts: [{ root: '.', target: '/opt/layerwright', files }] }
  const context = {
    projectFolder: '/',
    report: silent,
    mtimeSeconds: 9,
    openRemote: () => Promise.reject(new Error('no network')),
  }
  const layer = await readLayer(await makeLayerStream(spec, context))
  expect(filesOf(layer)['opt/layerwright/LICENSE']).toBe(String(bytes))
  expect(layer.members.every(({ mtimeSeconds }) => mtimeSeconds === 315532800)).toBe(true)
})
