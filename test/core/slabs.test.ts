import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { collect, copied, gathered } from '../../src/core/bytes.ts'
import { openPath } from '../../src/core/file-access.ts'
import { batches, SlabPool, slabs } from '../../src/core/slabs.ts'
import { packageRoot } from '../../src/core/package-root.ts'

describe('SlabPool', () => {
  test('gives memory that came back before it makes more, and keeps no more than it is told', () => {
    const pool = new SlabPool(8, 2)
    const taken = [pool.take(), pool.take(), pool.take()]
    expect(new Set(taken.map(({ buffer }) => buffer)).size).toBe(3)
    expect(pool.lent).toBe(3)
    for (const slab of taken) pool.give(slab)
    expect(pool.lent).toBe(0)
    const again = [pool.take(), pool.take(), pool.take()]
    expect(again.filter((slab) => taken.includes(slab))).toHaveLength(2)
  })

  test('takes back whole pieces of its own size only', () => {
    const pool = new SlabPool(8, 2)
    expect(() => pool.give(pool.take().subarray(1))).toThrow(RangeError)
  })
})

describe('streams that use their memory again', () => {
  let folder = ''
  let path = ''
  const bytes = Buffer.from(Array.from({ length: 2_500_000 }, (_, index) => (index * 7 + (index >> 9)) & 255))
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'slabs-'))
    path = join(folder, 'file')
    await writeFile(path, bytes)
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const read = () => gathered(openPath(path)({ reuse: true }))

  test('give it back when they were read to their end', async () => {
    const before = [slabs.lent, batches.lent]
    for (let n = 0; n < 5; n++) expect((await collect(copied(read()), bytes.length)).equals(bytes)).toBe(true)
    expect([slabs.lent, batches.lent]).toEqual(before)
  })

  test('share none of it while several are read', async () => {
    const all = await Promise.all(Array.from({ length: 6 }, () => collect(copied(read()), bytes.length)))
    expect(all.every((one) => one.equals(bytes))).toBe(true)
  })

  test('leave it to a consumer that stopped in the middle', async () => {
    const before = slabs.lent
    let kept: Uint8Array | undefined
    for await (const chunk of openPath(path)({ reuse: true })) {
      kept = chunk
      break
    }
    await Promise.all(Array.from({ length: 4 }, () => collect(copied(read()), bytes.length)))
    expect(bytes.subarray(0, kept?.length).equals(kept ?? bytes)).toBe(true)
    expect(slabs.lent).toBe(before + 2)
  })
})

test('a thread that starts does not let the heap beside it grow again', async () => {
  const program = `
    import v8 from 'node:v8'
    import { once } from 'node:events'
    import { Worker } from 'node:worker_threads'
    import { keepHeapSmall, keepHeapSmallBeside } from './dist/src/core/small-heap.js'
    keepHeapSmall()
    const worker = new Worker('setInterval(() => {}, 1000)', { eval: true })
    keepHeapSmallBeside(worker)
    await once(worker, 'online')
    let kept = []
    for (let n = 0; n < 3e6; n++) {
      kept.push({ n, text: 'a' + n })
      if (kept.length > 50_000) kept = []
    }
    console.log(v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').space_size)
    process.exit()`
  const args = ['--input-type=module', '--eval', program]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: packageRoot() })
  // Two or three parts of 1 MiB each, and what it grew by while the thread started, which on a busy machine takes long (18 MiB were
  // seen); left to itself it grows to 32 MiB and more.
  expect(Number(stdout)).toBeLessThan(32 << 20)
})
