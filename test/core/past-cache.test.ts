import { randomBytes } from 'node:crypto'
import { mkdtemp, open, readFile, rm, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AlignedBlocks, BLOCK_BYTES } from '../../src/core/aligned-blocks.ts'
import { writePastCache } from '../../src/core/past-cache.ts'

let folder: string
let file: FileHandle

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lw-past-'))
  file = await open(join(folder, 'file'), 'wx')
})

afterEach(async () => {
  await file.close()
  await rm(folder, { recursive: true })
})

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  // Overwritten once the next chunk is asked for, as sources do.
  const memory = Buffer.alloc(size)
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = bytes.subarray(at, at + size)
    memory.set(chunk)
    yield memory.subarray(0, chunk.length)
  }
}

/** The file once more, its writes answered by a function; `undefined` from that lets them through. */
async function besides(answer: (bytes: Uint8Array, nth: number) => number | undefined | Error): Promise<FileHandle> {
  const handle = await open(join(folder, 'file'), 'r+')
  let nth = 0
  const write = async (bytes: Uint8Array, at: number, length: number, position: number): Promise<unknown> => {
    const given = answer(bytes, nth++)
    if (given instanceof Error) throw given
    return handle.write(bytes, at, given ?? length, position)
  }
  return { write, close: () => handle.close() } as unknown as FileHandle
}

const content = randomBytes(3 * BLOCK_BYTES + 12345)

describe('writePastCache()', () => {
  test.for([0, 1, 4096, BLOCK_BYTES, 3 * BLOCK_BYTES, content.length])('writes %i bytes', async (length) => {
    const bytes = content.subarray(0, length)
    expect(await writePastCache(file, inChunks(bytes, 77_777))).toBe(length)
    expect(Buffer.compare(await readFile(join(folder, 'file')), bytes)).toBe(0)
  })

  test('takes chunks that are larger than a block', async () => {
    expect(await writePastCache(file, inChunks(content, 2 * BLOCK_BYTES + 1))).toBe(content.length)
    expect(Buffer.compare(await readFile(join(folder, 'file')), content)).toBe(0)
  })

  test('writes whole blocks past the cache, in memory and at places that are aligned', async () => {
    const lengths: number[] = []
    const past = await besides((bytes) => void lengths.push(bytes.byteOffset % 4096, bytes.length))
    await writePastCache(file, inChunks(content, 50_000), async () => past)
    expect(lengths).toEqual([0, BLOCK_BYTES, 0, BLOCK_BYTES, 0, BLOCK_BYTES])
    expect(Buffer.compare(await readFile(join(folder, 'file')), content)).toBe(0)
  })

  test('writes through the cache where the file cannot be opened otherwise', async () => {
    expect(await writePastCache(file, inChunks(content, 50_000), async () => undefined)).toBe(content.length)
    expect(Buffer.compare(await readFile(join(folder, 'file')), content)).toBe(0)
  })

  test('and where the file system takes no such writes', async () => {
    const refused = Object.assign(new Error('EINVAL'), { code: 'EINVAL', errno: -22, syscall: 'write' })
    let asked = 0
    const past = await besides(() => {
      asked++
      return refused
    })
    await writePastCache(file, inChunks(content, 50_000), async () => past)
    expect(asked).toBe(1)
    expect(Buffer.compare(await readFile(join(folder, 'file')), content)).toBe(0)
  })

  test('writes what a write has left', async () => {
    const past = await besides((_, nth) => (nth === 1 ? 4096 : undefined))
    await writePastCache(file, inChunks(content, 50_000), async () => past)
    expect(Buffer.compare(await readFile(join(folder, 'file')), content)).toBe(0)
  })

  test.for([0, 2])('fails when write %i fails, and takes no more', async (at) => {
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC', errno: -28, syscall: 'write' })
    const past = await besides((_, nth) => (nth === at ? full : undefined))
    await expect(writePastCache(file, inChunks(content, 50_000), async () => past)).rejects.toBe(full)
  })

  test('fails as the stream does, once nothing is written any more', async () => {
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield* inChunks(content.subarray(0, 2 * BLOCK_BYTES), 50_000)
      throw new Error('cut')
    }
    await expect(writePastCache(file, broken())).rejects.toThrow('cut')
  })
})

describe('AlignedBlocks', () => {
  test('lends blocks that begin at a page, then ordinary ones, which it does not take for its own', () => {
    const blocks = new AlignedBlocks()
    const lent = Array.from({ length: 10 }, () => blocks.take())
    const own = lent.filter((block) => blocks.has(block))
    expect(own).toHaveLength(8)
    expect(own.every((block) => block.byteOffset % 4096 === 0 && block.length === BLOCK_BYTES)).toBe(true)
    for (const block of lent) blocks.give(block)
    expect(Array.from({ length: 10 }, () => blocks.take()).filter((block) => blocks.has(block))).toHaveLength(8)
  })
})
