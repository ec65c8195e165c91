import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { collect, copied, gathered, packedTogether } from '../../src/core/bytes.ts'
import { openPath } from '../../src/core/file-access.ts'
import { writeStream } from '../../src/core/write-stream.ts'

let folder: string
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'bytes-'))))
afterAll(() => rm(folder, { recursive: true, force: true }))

const bytes = Buffer.from(Array.from({ length: 3_300_000 }, (_, index) => (index * 13 + (index >> 11)) & 255))

/** Gives chunks of these sizes in turn, all in one piece of memory. */
async function* reusing(sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  const memory = Buffer.alloc(Math.max(...sizes))
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const part = bytes.subarray(at, at + (sizes[turn % sizes.length] ?? 1))
    memory.set(part)
    yield memory.subarray(0, part.length)
    at += part.length
    memory.fill(0, 0, part.length)
  }
}

test.each([[[1000]], [[70_000, 5]], [[1 << 20]], [[300_000, 10, 255_000, 90_000]]])(
  'gathered() gives the same bytes in large chunks: %j',
  async (sizes) => {
    let count = 0
    const counting = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of gathered(reusing(sizes))) {
        count++
        yield chunk
      }
    }
    expect((await collect(copied(counting()), 1 << 24)).equals(bytes)).toBe(true)
    expect(count).toBeLessThan(40)
  },
)

test('writeStream() writes a stream that uses its memory again', async () => {
  const path = join(folder, 'written')
  const file = await open(path, 'w')
  const told: number[] = []
  expect(await writeStream(file, reusing([300_000, 10, 64_000]), (count) => told.push(count))).toBe(bytes.length)
  await file.close()
  expect((await readFile(path)).equals(bytes)).toBe(true)
  expect(told.at(-1)).toBe(bytes.length)
})

test.each([0, 1, 1 << 20, 2_000_001, 3_300_000])('openPath() with reuse gives the bytes from %i on', async (offset) => {
  const path = join(folder, 'read')
  await writeFile(path, bytes)
  const read = await collect(copied(openPath(path)({ offset, reuse: true })), 1 << 24)
  expect(read.equals(bytes.subarray(offset))).toBe(true)
})

test('openPath() with reuse ends with the signal and closes the file when left early', async () => {
  const path = join(folder, 'left')
  await writeFile(path, bytes)
  const signal = AbortSignal.abort(new Error('enough'))
  await expect(collect(openPath(path)({ reuse: true, signal }), 1 << 24)).rejects.toThrow('enough')
  for await (const chunk of openPath(path)({ reuse: true })) {
    expect(chunk.length).toBe(1 << 20)
    break
  }
  await expect(collect(openPath(join(folder, 'absent'))({ reuse: true }), 1)).rejects.toThrow('ENOENT')
})

test('packedTogether() holds small contents in memory of their size', () => {
  const contents = new Map([
    ['a', Buffer.from('first')],
    ['b', Buffer.alloc(0)],
    ['c', Buffer.from('second')],
  ])
  const packed = packedTogether(contents)
  expect([...packed].map(([name, bytes]) => [name, bytes.toString()])).toEqual([
    ['a', 'first'],
    ['b', ''],
    ['c', 'second'],
  ])
  expect(packed.get('a')?.buffer).toBe(packed.get('c')?.buffer)
  expect(packed.get('a')?.buffer.byteLength).toBe(11)
})
