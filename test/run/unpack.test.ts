import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { OCI } from 'oci-spec-types'
import type { Layer } from '../../layers/layer.ts'
import { openBytes } from '../../src/core/bytes.ts'
import { findInImage, listInImage } from '../../src/run/layer-view.ts'
import { pruneRootfs } from '../../src/run/prune-rootfs.ts'
import { chainId, unpackImage, type RootfsCache } from '../../src/run/rootfs.ts'
import { removeTree } from '../../src/run/unpack/remove-tree.ts'
import { unpackLayer } from '../../src/run/unpack/unpack-layer.ts'
import { digest, dir, file, hardlink, layerOf, symlink, tar } from './tar-builder.ts'

const all = mkdtempSync(join(tmpdir(), 'lw-unpack-'))
let folder: string
let count = 0
beforeEach(() => {
  folder = join(all, String(count++))
  mkdirSync(folder)
})
afterAll(() => removeTree(all))

const isRoot = process.getuid?.() === 0
const options = { keepOwners: isRoot, alone: false }
const cache = (): RootfsCache => ({ folder, keepOwners: isRoot, report: () => {} })
const bytes = tar(dir('d', 0o750), file('d/f', 'hello', 0o4755), symlink('f', 'd/s'))

describe('unpackLayer()', () => {
  const gzip = gzipSync(bytes)
  const two = Buffer.concat([gzipSync(bytes.subarray(0, 700)), gzipSync(bytes.subarray(700))])
  test.each([
    ['no compression', bytes, OCI.layer],
    ['gzip', gzip, OCI.layerGzip],
    ['gzip in two members', two, OCI.layerGzip],
    ['gzip with zeros after it', Buffer.concat([gzip, Buffer.alloc(70_000)]), OCI.layerGzip],
    ['zstd', zstdStored(bytes), OCI.layerZstd],
  ])('unpacks %s', async (_name, blob, mediaType) => {
    await unpackLayer(folder, layerOf(bytes, blob, mediaType), options)
    expect(readFileSync(join(folder, 'd/f'), 'utf8')).toBe('hello')
    expect(lstatSync(join(folder, 'd/f')).mode & 0o7777).toBe(0o4755)
    expect(lstatSync(join(folder, 'd')).mode & 0o7777).toBe(0o750)
    expect(statSync(join(folder, 'd/f')).mtimeMs).toBe(1_000_000_000_000)
    expect(lstatSync(join(folder, 'd/s')).mtimeMs).toBe(1_000_000_000_000)
  })

  const broken: readonly (readonly [string, Layer, string])[] = [
    ['garbage after gzip', layerOf(bytes, Buffer.concat([gzip, Buffer.from('garbage')])), 'ARCHIVE_INVALID'],
    ['a truncated gzip stream', layerOf(bytes, gzip.subarray(0, -20)), 'ARCHIVE_INVALID'],
    ['a wrong CRC', layerOf(bytes, withByte(gzip, gzip.length - 6)), 'ARCHIVE_INVALID'],
    ['a tar that is no gzip', layerOf(bytes, bytes), 'ARCHIVE_INVALID'],
    ['a broken zstd stream', layerOf(bytes, gzip, OCI.layerZstd), 'ARCHIVE_INVALID'],
    ['a media type that is no layer', layerOf(bytes, bytes, 'text/plain'), 'NOT_SUPPORTED'],
    ['another diffId', { ...layerOf(bytes), diffId: digest(Buffer.from('x')) }, 'DIGEST_MISMATCH'],
    ['other bytes', { ...layerOf(bytes), open: openBytes(gzipSync(tar(file('f', 'evil')))) }, 'SIZE_MISMATCH'],
  ]
  test.each(broken)('refuses %s', async (_name, layer, code) => {
    await expect(unpackLayer(folder, layer, options)).rejects.toMatchObject({ code })
  })

  test('refuses a bomb before the disk is full', async () => {
    const bomb = layerOf(tar(file('big', Buffer.alloc(4 * 1024 * 1024))))
    const limits = { maxEntries: 10, freeBytes: 1024 * 1024, maxRatio: 10 }
    await expect(unpackLayer(folder, bomb, { ...options, limits })).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringMatching(/unpacks to more than/),
    })
    expect(statSync(join(folder, 'big')).size).toBeLessThan(2 * 1024 * 1024)
  })

  test('refuses too many entries', async () => {
    const layer = layerOf(tar(...Array.from({ length: 11 }, (_, index) => dir(`d${index}`))))
    const limits = { maxEntries: 10, freeBytes: 1e6, maxRatio: 10 }
    await expect(unpackLayer(folder, layer, { ...options, limits })).rejects.toThrow(/more than 10 entries/)
  })

  test('refuses a path that no system call takes, a hundred thousand directories deep', async () => {
    const entry = { ...file('x'), pax: { path: `${'d/'.repeat(100_000)}x` } }
    await expect(unpackLayer(folder, layerOf(tar(entry)), options)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
  })

  test('leaves device nodes out and says so, and makes named pipes', async () => {
    const notes: string[] = []
    const layer = layerOf(
      tar(
        { name: 'null', type: '3', devmajor: 1, devminor: 3 },
        { name: 'disk', type: '4', devmajor: 8, devminor: 0 },
        { name: 'pipe', type: '6', mode: 0o600 },
      ),
    )
    await unpackLayer(folder, layer, { ...options, note: (text) => notes.push(text) })
    expect(readdirSync(folder)).toEqual(['pipe'])
    expect(lstatSync(join(folder, 'pipe')).isFIFO()).toBe(true)
    expect(notes).toEqual(['2 device nodes of a layer were left out'])
  })

  test('names extended attributes that it cannot set', async () => {
    const notes: string[] = []
    const layer = layerOf(tar({ ...file('ping'), pax: { 'SCHILY.xattr.security.capability': 'x' } }))
    await unpackLayer(folder, layer, { ...options, note: (text) => notes.push(text) })
    expect(notes).toEqual(['Extended attributes of a layer were not set: security.capability'])
  })

  test.runIf(isRoot)('gives files the owners of the archive, as root', async () => {
    const layer = layerOf(
      tar({ ...file('f', 'x', 0o4755), uid: 1234, gid: 5678 }, { ...symlink('f', 's'), uid: 99, gid: 98 }),
    )
    await unpackLayer(folder, layer, options)
    expect(lstatSync(join(folder, 'f'))).toMatchObject({ uid: 1234, gid: 5678 })
    expect(lstatSync(join(folder, 'f')).mode & 0o7777).toBe(0o4755)
    expect(lstatSync(join(folder, 's'))).toMatchObject({ uid: 99, gid: 98 })
  })

  test('writes below a directory that is read-only in the end', async () => {
    await unpackLayer(folder, layerOf(tar(dir('ro', 0o555), file('ro/f', 'x', 0o444), dir('ro/deep', 0o500))), options)
    expect(lstatSync(join(folder, 'ro')).mode & 0o777).toBe(0o555)
  })
})

/** Whether this user may make the marks of overlays here. */
const canMark = spawnSync('sh', ['-c', 'f=$(mktemp -u) && mknod "$f" c 0 0 && rm "$f"']).status === 0

describe('unpackImage()', () => {
  const base = layerOf(tar(dir('etc'), file('etc/a', 'base'), file('etc/b', 'base'), dir('bin')))
  const alone = layerOf(tar(dir('src'), file('src/run.py', '1')))
  const changed = layerOf(tar(dir('src'), file('src/run.py', '2')))
  const deletes = layerOf(tar(dir('etc'), file('etc/.wh.a')))
  const orphan = layerOf(tar(file('etc/c', 'no parent')))
  const linked = layerOf(tar(dir('etc'), hardlink('etc/b', 'etc/link')))

  test('gives each layer that stands alone a folder of its own, topmost first', async () => {
    const folders = await unpackImage([base, alone], cache())
    expect(folders.map((path) => readdirSync(path).sort())).toEqual([['src'], ['bin', 'etc']])
  })

  test('stacks a layer that an image has twice once, on top', async () => {
    const folders = await unpackImage([base, alone, changed, alone], cache())
    expect(folders).toHaveLength(3)
    expect(readFileSync(join(folders[0] ?? '', 'src/run.py'), 'utf8')).toBe('1')
  })

  test('unpacks only what is new', async () => {
    await unpackImage([base, alone], cache())
    const unreadable = { ...base, open: () => neverOpened() }
    const [top, below] = await unpackImage([unreadable, changed], cache())
    expect(readFileSync(join(top ?? '', 'src/run.py'), 'utf8')).toBe('2')
    expect(existsSync(join(below ?? '', 'etc/a'))).toBe(true)
  })

  test.runIf(canMark)('marks what a layer deletes as an overlay does', async () => {
    const folders = await unpackImage([base, deletes, alone], cache())
    expect(folders.map((path) => readdirSync(path).sort())).toEqual([['src'], ['etc'], ['bin', 'etc']])
    expect(lstatSync(join(folders[1] ?? '', 'etc/a'))).toMatchObject({ rdev: 0 })
    expect(lstatSync(join(folders[1] ?? '', 'etc/a')).isCharacterDevice()).toBe(true)
    expect(findInImage(folders, '/etc/a')?.stats).toBeUndefined()
    expect(findInImage(folders, '/etc/b')?.host).toBe(join(folders[2] ?? '', 'etc/b'))
    expect([...listInImage(folders, 'etc').keys()]).toEqual(['b'])
    expect(await unpackImage([base, deletes, { ...alone, open: () => neverOpened() }], cache())).toEqual(folders)
  })

  test.runIf(canMark)('a layer may delete a file and bring another of the name', async () => {
    const layer = layerOf(tar(dir('etc'), file('etc/.wh.a'), file('etc/a', 'new'), file('etc/.wh.none')))
    const folders = await unpackImage([base, layer], cache())
    expect(folders).toHaveLength(2)
    expect(readFileSync(join(folders[0] ?? '', 'etc/a'), 'utf8')).toBe('new')
    expect(findInImage(folders, '/etc/none')?.stats).toBeUndefined()
  })

  test.each([
    ['deletes in a directory that only it has', layerOf(tar(dir('new'), file('new/.wh.a'), file('etc/.wh.a')))],
    ['deletes in a directory that it does not bring', layerOf(tar(file('etc/.wh.a')))],
    ['replaces a directory', layerOf(tar(dir('etc'), file('.wh.etc'), file('etc/b', 'base')))],
    ['hides what was in a directory', layerOf(tar(dir('etc'), file('etc/.wh..wh..opq'), file('etc/b', 'base')))],
    ['deletes a file of a strange name', layerOf(tar(dir('etc'), file('etc/.wh.a'), file('etc/.wh.\xff')))],
    ['has no parents', orphan],
    ['links to a lower file', linked],
  ])('merges a layer that %s with those below it', async (name, layer) => {
    const folders = await unpackImage([base, layer, alone], cache())
    expect(folders).toHaveLength(2)
    const merged = folders[1] ?? ''
    expect(existsSync(join(merged, 'etc/a'))).toBe(layer === orphan || layer === linked)
    expect(name.includes('only it has') ? readdirSync(join(merged, 'new')) : []).toEqual([])
    expect(readFileSync(join(merged, 'etc/b'), 'utf8')).toBe('base')
    if (layer === linked) expect(lstatSync(join(merged, 'etc/link')).nlink).toBe(2)
    expect(await unpackImage([{ ...base, open: () => neverOpened() }, layer, alone], cache())).toEqual(folders)
  })

  test('publishes nothing when a layer is not what it should be', async () => {
    const bad = { ...alone, diffId: digest(Buffer.from('x')) }
    await expect(unpackImage([base, bad], cache())).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(readdirSync(join(folder, 'tmp'))).toEqual([])
    expect(existsSync(join(folder, 'layers', bad.diffId.slice(7)))).toBe(false)
  })

  test('says of a damaged copy that it is damaged, not that it is no archive', async () => {
    const damaged = Buffer.from(bytes)
    damaged[10] = 0xff
    const layer = { ...layerOf(bytes, bytes, OCI.layer), open: openBytes(damaged) }
    await expect(unpackImage([layer], cache())).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    await expect(unpackImage([layerOf(damaged, damaged, OCI.layer)], cache())).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
    })
  })

  test('may run twice at once', async () => {
    const [first, second] = await Promise.all([
      unpackImage([base, deletes, alone], cache()),
      unpackImage([base, deletes, alone], cache()),
    ])
    expect(first).toEqual(second)
    expect(readdirSync(join(folder, 'tmp'))).toEqual([])
  })

  test('chainId() follows the specification', () => {
    const [a, b] = [digest(Buffer.from('a')), digest(Buffer.from('b'))]
    expect(chainId([a])).toBe(a)
    expect(chainId([a, b])).toBe(digest(Buffer.from(`${a} ${b}`)))
  })
})

function neverOpened(): AsyncIterable<Uint8Array> {
  throw new Error('A layer that is there was opened')
}

function withByte(data: Buffer, at: number): Buffer {
  const copy = Buffer.from(data)
  copy[at] = (copy[at] ?? 0) ^ 0xff
  return copy
}

/** A zstd frame of stored blocks (RFC 8878, 3.1.1), so that no compressor is needed. */
function zstdStored(data: Buffer): Buffer {
  const size = Buffer.alloc(4)
  size.writeUInt32LE(data.length)
  const head = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0]), size])
  const block = Buffer.alloc(3)
  block.writeUIntLE((data.length << 3) | 1, 0, 3)
  return Buffer.concat([head, block, data])
}

describe('pruneRootfs()', () => {
  const own = (): string => join(folder, 'rootfs', String(process.getuid?.() ?? 0))
  const prepare = async (): Promise<readonly string[]> => {
    mkdirSync(own(), { recursive: true })
    const layers = [layerOf(tar(dir('a'), file('a/f', 'x'))), layerOf(tar(dir('b')))]
    return unpackImage(layers, { ...cache(), folder: own() })
  }

  test('removes what nobody runs, and tells how much', async () => {
    const folders = await prepare()
    const later = (): number => Date.now() + 60_000
    expect(pruneRootfs(folder, { isDryRun: true, now: later }).removedFiles).toBe(5)
    expect(folders.every((path) => existsSync(path))).toBe(true)
    expect(pruneRootfs(folder, { now: later }).removedFiles).toBe(5)
    expect(folders.some((path) => existsSync(path))).toBe(false)
    expect(readdirSync(join(own(), 'tmp'))).toEqual([])
  })

  test('keeps what was used lately, and what a living process runs', async () => {
    const [top = '', bottom = ''] = await prepare()
    expect(pruneRootfs(folder, { olderThanMs: 3_600_000 }).removedFiles).toBe(0)
    const work = join(own(), 'tmp', `run-${process.pid}-x`, 'layers')
    mkdirSync(work, { recursive: true })
    symlinkSync(top, join(work, '0'))
    pruneRootfs(folder, { now: () => Date.now() + 60_000 })
    expect([existsSync(top), existsSync(bottom)]).toEqual([true, false])
  })

  test('a store that never ran anything has nothing to remove', () => {
    expect(pruneRootfs(folder)).toEqual({ removedFiles: 0, removedBytes: 0 })
  })
})
