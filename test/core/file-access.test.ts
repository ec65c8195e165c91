import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { collect, copied } from '../../src/core/bytes.ts'
import { openFile } from '../../src/core/file-access.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lw-file-access-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function write(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}

describe('openFile()', () => {
  test.each([
    ['empty', 0],
    ['of one byte', 1],
    ['small', 50_000],
    ['just small', 1 << 17],
    ['just large', (1 << 17) + 1],
    ['large', 600_000],
  ])('reads a file that is %s at any place', async (_, size) => {
    const bytes = randomBytes(size)
    const file = await openFile(await write('a', bytes))
    expect(file.sizeBytes).toBe(size)
    for (const reuse of [false, true]) {
      expect((await collect(copied(file.stream(0, size, { reuse })), size)).equals(bytes)).toBe(true)
    }
    const middle = size >> 1
    expect(await file.read(middle, size - middle)).toEqual(bytes.subarray(middle))
    expect(await file.read(0, 0)).toHaveLength(0)
    await expect(file.read(middle, size + 1)).rejects.toThrow(RangeError)
    await file.close()
  })

  test.each([50_000, 600_000])('refuses to read a file of %d bytes that was closed', async (size) => {
    const file = await openFile(await write('a', randomBytes(size)))
    await file.close()
    await expect(file.read(0, 10)).rejects.toThrow()
  })

  test('gives bytes that stay what they are when other files are read after', async () => {
    const [first, second] = [randomBytes(50_000), randomBytes(50_000)]
    const path = await write('b', second)
    const file = await openFile(await write('a', first))
    const read = await file.read(100, 1000)
    const streamed: Uint8Array[] = []
    for await (const chunk of file.stream(0, 50_000)) streamed.push(chunk)
    await file.close()
    for (let n = 0; n < 3; n++) await (await openFile(path)).close()
    expect(read).toEqual(first.subarray(100, 1100))
    expect(Buffer.concat(streamed).equals(first)).toBe(true)
  })

  test('leaves what a stream gave alone when the stream was left in the middle', async () => {
    const [first, second] = [randomBytes(50_000), randomBytes(50_000)]
    const path = await write('b', second)
    const file = await openFile(await write('a', first))
    const next = await file.stream(0, 50_000, { reuse: true })[Symbol.asyncIterator]().next()
    await file.close()
    await file.close()
    const others = await Promise.all([openFile(path), openFile(path), openFile(path)])
    expect(Buffer.from(next.value ?? []).equals(first)).toBe(true)
    await Promise.all(others.map((other) => other.close()))
  })

  test('never gives two open files the same memory, closed twice or not', async () => {
    const contents = Array.from({ length: 8 }, () => randomBytes(1000))
    const paths = await Promise.all(contents.map((bytes, n) => write(`${n}`, bytes)))
    const once = await openFile(paths[0] ?? '')
    await once.close()
    await once.close()
    const files = await Promise.all(paths.map((path) => openFile(path)))
    for (const [n, file] of files.entries()) expect(await file.read(0, 1000)).toEqual(contents[n])
    await Promise.all(files.map((file) => file.close()))
  })
})
