import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { collect, copied } from '../../src/core/bytes.ts'
import { digestOf } from '../../src/core/digest.ts'
import { temporaryName } from '../../src/core/temporary-name.ts'
import { makeWorkFolder } from '../../src/core/work-folder.ts'
import { fleetingStore } from '../../src/store/fleeting-store.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fleeting-'))
})
afterEach(() => rm(folder, { recursive: true }))

const MEGABYTE = Buffer.alloc(1 << 20, 'x')

async function* megabytes(count: number): AsyncGenerator<Uint8Array> {
  // One memory for all: who keeps a chunk has to copy it.
  const chunk = Buffer.from(MEGABYTE)
  for (let number = 0; number < count; number++) {
    chunk.fill(number)
    yield chunk
  }
}

test('a store in memory refuses what is too much to hold', async () => {
  const store = fleetingStore()
  await store.put(megabytes(40))
  await expect(store.put(megabytes(40))).rejects.toMatchObject({ code: 'NOT_SUPPORTED' })
})

test('a store with a temporary folder puts large blobs there, and gives them back', async () => {
  const store = fleetingStore(folder)
  const whole = await collect(copied(megabytes(40)), 50 << 20)
  await store.put(megabytes(70))
  const put = await store.put(megabytes(40), { digest: digestOf(whole), size: whole.length })
  expect(put).toEqual({ digest: digestOf(whole), size: whole.length })
  expect(await store.has(put.digest)).toBe(whole.length)
  expect((await collect(store.blob(put)(), 50 << 20)).equals(whole)).toBe(true)
  const part = await collect(store.blob(put)({ offset: whole.length - 10 }), 20)
  expect(part.equals(whole.subarray(-10))).toBe(true)
  const file = await store.openFile(put.digest)
  expect(Buffer.from(await file.read(5 << 20, 3)).equals(Buffer.alloc(3, 5))).toBe(true)
  await file.close()
  expect(await readdir(folder)).toHaveLength(2)
  const small = await store.put(megabytes(1))
  expect(await store.has(small.digest)).toBe(1 << 20)
  expect(await readdir(folder)).toHaveLength(2)
})

test('a blob that is not what was expected is not there, wherever it went', async () => {
  const store = fleetingStore(folder)
  const wrong = { digest: digestOf(Buffer.from('other')), size: 3 << 20 }
  await expect(store.put(megabytes(3), wrong)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  expect(await store.has(wrong.digest)).toBeUndefined()
})

test('makeWorkFolder() takes away what a killed process left, and nothing else', async () => {
  const dead = temporaryName('.layerwright').replace(String(process.pid), '999999999')
  for (const name of [dead, '.other-1-2']) await mkdir(join(folder, name))
  const work = await makeWorkFolder(folder)
  expect((await readdir(folder)).toSorted()).toEqual([work.path.slice(folder.length + 1), '.other-1-2'].toSorted())
  await work.remove()
  expect(await readdir(folder)).toEqual(['.other-1-2'])
  await expect(makeWorkFolder(join(folder, 'nothing'))).rejects.toMatchObject({
    code: 'FILE_UNWRITABLE',
    hint: expect.stringContaining('TMPDIR') as string,
  })
})
