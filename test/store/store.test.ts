import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
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

test('storeLocation() survives a machine without a home', () => {
  const home = (): string => {
    throw new Error('no passwd entry')
  }
  const location = storeLocation({ env: {}, home })
  expect(location.endsWith('layerwright')).toBe(true)
})

test('storeLocation() passes by a cache folder that cannot be made', async () => {
  const file = join(folder, 'file')
  await writeFile(file, '')
  const location = storeLocation({ env: { XDG_CACHE_HOME: file, RUNNER_TEMP: folder }, home: () => file })
  expect(location).toBe(join(folder, 'layerwright'))
})

test('storeLocation() takes LAYERWRIGHT_CACHE as it is', () => {
  expect(storeLocation({ env: { LAYERWRIGHT_CACHE: '/x/y', XDG_CACHE_HOME: folder } })).toBe('/x/y')
})
