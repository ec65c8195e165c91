import { chown, mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { explainWriteError } from '../../src/core/atomic-file.ts'
import { collect, openBytes } from '../../src/core/bytes.ts'
import { digestOf } from '../../src/core/digest.ts'
import { storeLocation } from '../../src/store/location.ts'
import { findRecord, saveRecord } from '../../src/store/records.ts'
import { Store } from '../../src/store/store.ts'

const hello = Buffer.from('hello')
const expected = { digest: digestOf(hello), size: hello.length }
let folder: string
let store: Store

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'store-'))
  store = await Store.open(folder)
})
afterEach(() => rm(folder, { recursive: true }))

test('put() names a blob by its digest and gives it back', async () => {
  expect(await store.put(openBytes(hello)())).toEqual(expected)
  expect(await store.has(expected.digest)).toBe(5)
  expect((await collect(store.blob(expected)(), 100)).toString()).toBe('hello')
})

test('put() leaves nothing behind when the bytes are not the expected ones', async () => {
  await expect(store.put(openBytes(Buffer.from('hellO'))(), expected)).rejects.toMatchObject({
    code: 'DIGEST_MISMATCH',
  })
  expect(await store.has(expected.digest)).toBeUndefined()
  expect(await readdir(join(folder, 'tmp'))).toEqual([])
})

test('put() leaves nothing behind when its source breaks', async () => {
  async function* breaks(): AsyncGenerator<Uint8Array> {
    yield hello
    throw new Error('cut')
  }
  await expect(store.put(breaks())).rejects.toThrow('cut')
  expect(await readdir(join(folder, 'tmp'))).toEqual([])
})

test('putProven() keeps what somebody else compares, and nothing when that fails or the size is another', async () => {
  async function* refused(): AsyncGenerator<Uint8Array> {
    yield hello
    throw new Error('another digest')
  }
  await expect(store.putProven(refused(), expected)).rejects.toThrow('another digest')
  await expect(store.putProven(openBytes(Buffer.from('hell'))(), expected)).rejects.toMatchObject({
    code: 'SIZE_MISMATCH',
  })
  expect(await store.has(expected.digest)).toBeUndefined()
  expect(await readdir(join(folder, 'tmp'))).toEqual([])
  await store.putProven(openBytes(hello)(), expected)
  expect(String(await collect(store.blob(expected)(), 100))).toBe('hello')
})

test('blob() leaves the proof to who compares the digest anyway', async () => {
  const put = await store.put(openBytes(Buffer.from('right'))())
  await writeFile(store.path(put.digest), 'wrong')
  expect(String(await collect(store.blob(put)({ isVerified: true }), 100))).toBe('wrong')
  await expect(collect(store.blob(put)({ isVerified: false }), 100)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
})

test('put() does not read a stream whose blob is there already', async () => {
  await store.put(openBytes(hello)())
  let isRead = false
  async function* source(): AsyncGenerator<Uint8Array> {
    isRead = true
    yield hello
  }
  expect(await store.put(source(), expected)).toEqual(expected)
  expect(isRead).toBe(false)
})

test('blob() reports a damaged blob and removes it', async () => {
  await store.put(openBytes(hello)())
  await truncate(store.path(expected.digest), 3)
  await expect(collect(store.blob(expected)(), 100)).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
  expect(await store.has(expected.digest)).toBeUndefined()
})

test('openFile() reads any part and refuses to read past the end', async () => {
  await store.put(openBytes(hello)())
  const file = await store.openFile(expected.digest)
  try {
    expect((await file.read(1, 3)).toString()).toBe('ell')
    expect((await collect(file.stream(2, 3), 10)).toString()).toBe('llo')
    await expect(file.read(3, 3)).rejects.toThrow(RangeError)
  } finally {
    await file.close()
  }
})

test('two writers of one blob both succeed', async () => {
  const other = await Store.open(folder)
  const results = await Promise.all([store.put(openBytes(hello)()), other.put(openBytes(hello)())])
  expect(results).toEqual([expected, expected])
})

test('findRecord() gives what saveRecord() wrote and takes a damaged record for none', async () => {
  const cache = store.cache('layers')
  const record = { mediaType: 'application/x', digest: expected.digest, size: 5, diffId: expected.digest }
  await saveRecord(cache, 'key', record)
  expect(await findRecord(cache, 'key')).toEqual(record)
  await cache.set('key', Buffer.from('{"digest":"sha256:1"'))
  expect(await findRecord(cache, 'key')).toBeUndefined()
})

test.each<[what: string, damage: (sealed: Buffer) => Buffer]>([
  ['empty, as after a power cut', () => Buffer.alloc(0)],
  ['cut short', (sealed) => sealed.subarray(0, -1)],
  ['another in one bit', (sealed) => Buffer.from(sealed.map((byte, at) => (at === 3 ? byte ^ 1 : byte)))],
  ['what a program before checksums wrote', () => Buffer.from('{"an":"answer"}')],
])('cache() takes an entry for none that is %s', async (_, damage) => {
  const cache = store.cache('answers')
  await cache.set('key', Buffer.from('{"an":"answer"}'))
  expect(String(await cache.get('key'))).toBe('{"an":"answer"}')
  const names = await readdir(join(folder, 'cache'), { recursive: true, withFileTypes: true })
  const path = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))[0] ?? ''
  await writeFile(path, damage(await readFile(path)))
  expect(await cache.get('key')).toBeUndefined()
  await cache.set('key', Buffer.alloc(0))
  expect(await cache.get('key')).toEqual(Buffer.alloc(0))
})

test('storeLocation() survives a machine without a home', async () => {
  const home = (): string => {
    throw new Error('no passwd entry')
  }
  expect(await storeLocation({ env: {}, home, temporaryFolder: folder })).toBe(
    join(folder, `layerwright-${process.getuid?.()}`),
  )
})

test('storeLocation() takes no folder among the temporary ones that is a link to another place', async () => {
  const name = `layerwright-${process.getuid?.()}`
  await writeFile(join(folder, 'file'), '')
  await mkdir(join(folder, 'theirs'))
  await symlink(join(folder, 'theirs'), join(folder, name))
  const input = { env: {}, home: () => join(folder, 'file'), temporaryFolder: folder }
  await expect(storeLocation(input)).rejects.toThrow('belongs to somebody else')
})

test.runIf(process.getuid?.() === 0)('storeLocation() takes no temporary folder that another user made', async () => {
  await writeFile(join(folder, 'file'), '')
  const place = join(folder, 'layerwright-0')
  await mkdir(place)
  await chown(place, 65_534, 65_534)
  const input = { env: {}, home: () => join(folder, 'file'), temporaryFolder: folder }
  await expect(storeLocation(input)).rejects.toThrow('belongs to somebody else')
})

test('Store.open() says where a store cannot be made, and where to name another place', async () => {
  const file = join(folder, 'file')
  await writeFile(file, '')
  const error = await Store.open(join(file, 'store')).catch((cause: unknown) => cause)
  expect(error).toMatchObject({ code: 'FILE_UNWRITABLE', hint: expect.stringContaining('LAYERWRIGHT_CACHE') as string })
  // What Node says on a file system that is read-only.
  const ofNode = Object.assign(new Error('no such file or directory'), { code: 'ENOENT', syscall: 'mkdir' })
  expect(explainWriteError(ofNode, '/x')).toMatchObject({ code: 'FILE_UNWRITABLE' })
  expect(explainWriteError(Object.assign(new Error(), { code: 'ENOENT', syscall: 'open' }), '/x')).not.toHaveProperty(
    'hint',
  )
  // A disk with 4 GiB a file at most, or `ulimit -f`.
  const tooLarge = Object.assign(new Error('file too large'), { code: 'EFBIG' })
  expect(explainWriteError(tooLarge, '/x')).toMatchObject({
    code: 'FILE_UNWRITABLE',
    hint: expect.anything() as string,
  })
})

test('storeLocation() passes by a cache folder that cannot be made', async () => {
  const file = join(folder, 'file')
  await writeFile(file, '')
  const location = await storeLocation({ env: { XDG_CACHE_HOME: file, RUNNER_TEMP: folder }, home: () => file })
  expect(location).toBe(join(folder, 'layerwright'))
})

test('storeLocation() takes LAYERWRIGHT_CACHE as it is', async () => {
  expect(await storeLocation({ env: { LAYERWRIGHT_CACHE: '/x/y', XDG_CACHE_HOME: folder } })).toBe('/x/y')
})
