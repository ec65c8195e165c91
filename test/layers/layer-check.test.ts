import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { deflateRawSync } from 'node:zlib'
import { decompress } from 'fzstd'
import { describe, expect, test } from 'vitest'
import { checkLayer, type ExpectedFile, type LayerCheck } from '../../layers/layer-check.ts'
import { spliceLayer, type SplicedFile } from '../../layers/splice.ts'
import { makeCheckPool, type CheckPool, type CheckThread } from '../../layers/workers/pool.ts'
import { readParts } from '../../layers/ztoc/spill.ts'
import { collect, copied, openBytes } from '../../src/core/bytes.ts'
import { digestOf } from '../../src/core/digest.ts'
import { threadLanes } from '../../src/core/sha256/lanes.ts'
import { channelThread } from '../support/check-thread.ts'

const content = Buffer.from('x = 1\n'.repeat(50_000))
const expected: readonly ExpectedFile[] = [
  {
    path: 'a.py',
    sizeBytes: content.length,
    hash: { algorithm: 'sha256', value: createHash('sha256').update(content).digest('base64url') },
  },
  { path: 'b.py', sizeBytes: 3 },
]

async function* files(data = deflateRawSync(content)): AsyncGenerator<SplicedFile> {
  const { crc32 } = await import('node:zlib')
  yield {
    path: 'a.py',
    mode: 0o644,
    sizeBytes: content.length,
    content: { kind: 'deflate', data: openBytes(data)(), crc32: crc32(content) },
  }
  yield { path: 'b.py', mode: 0o644, sizeBytes: 3, content: { kind: 'bytes', bytes: Buffer.from('abc') } }
}

async function run(check: LayerCheck, blob: Uint8Array, step: number): Promise<ReturnType<LayerCheck['end']>> {
  try {
    for (let at = 0; at < blob.length; at += step) await check.write(blob.subarray(at, at + step))
    return await check.end()
  } finally {
    check.close()
  }
}

const blob = () => collect(spliceLayer([], files(), 1), 2 ** 24)
const damaged = async () =>
  collect(spliceLayer([], files(Buffer.from(deflateRawSync(content)).fill(0, 40, 60)), 1), 2 ** 24)

// One contract for both: on the own thread, and on another.
const ways: Record<string, () => { check: CheckPool['check']; close: () => Promise<void> }> = {
  'on the own thread': () => ({ check: checkLayer, close: async () => {} }),
  'on another thread': () => {
    const pool = makeCheckPool({ threads: 2, start: () => channelThread() })
    return pool ?? expect.unreachable()
  },
}
for (const [name, open] of Object.entries(ways)) {
  describe(`a check ${name}`, () => {
    test.each([1 << 16, 100, 13])('finds the diffId from pieces of %i bytes', async (step) => {
      const { check, close } = open()
      const bytes = await blob()
      const findings = await run(check({ expected, what: 'x.whl' }), bytes, step)
      const { gunzipSync } = await import('node:zlib')
      const tar = gunzipSync(bytes)
      expect(findings).toMatchObject({
        diffId: `sha256:${createHash('sha256').update(tar).digest('hex')}`,
        tarBytes: tar.length,
        libraries: [],
      })
      await close()
    })

    test.each(['zstd', 'none'] as const)('gives back the tar as %s', async (output) => {
      const { check, close } = open()
      const bytes = await blob()
      const { gunzipSync } = await import('node:zlib')
      const task = check({ expected, what: 'x.whl', output })
      const made: Uint8Array[] = []
      for (let at = 0; at < bytes.length; at += 100) {
        await task.write(bytes.subarray(at, at + 100))
        made.push(...task.made())
      }
      await task.end()
      made.push(...task.made())
      task.close()
      const result = Buffer.concat(made)
      const tar = output === 'zstd' ? Buffer.from(decompress(result)) : result
      expect(tar.equals(gunzipSync(bytes))).toBe(true)
      await close()
    })

    test('names the file that is damaged', async () => {
      const { check, close } = open()
      await expect(run(check({ expected, what: 'x.whl' }), await damaged(), 1000)).rejects.toMatchObject({
        code: 'WHEEL_INVALID',
        message: expect.stringMatching(/x\.whl: `a\.py` (is damaged|does not have the hash)/),
        hint: expect.any(String),
      })
      await close()
    })

    test.each<[string, readonly ExpectedFile[], RegExp]>([
      ['another size', [{ path: 'a.py', sizeBytes: 5 }, ...expected.slice(1)], /`a\.py` does not have the size/],
      [
        'another hash',
        [{ path: 'a.py', sizeBytes: content.length, hash: { algorithm: 'sha256', value: 'x' } }, ...expected.slice(1)],
        /`a\.py` does not have the hash/,
      ],
      ['a file more', expected.slice(0, 1), /not announced/],
      ['a file less', [...expected, { path: 'c.py', sizeBytes: 1 }], /ends before `c\.py`/],
    ])('refuses %s', async (_, files, reason) => {
      const { check, close } = open()
      await expect(run(check({ expected: files, what: 'x.whl' }), await blob(), 5000)).rejects.toThrow(reason)
      await close()
    })

    test.each([10, 300, -5])('refuses a layer that is cut at %i', async (length) => {
      const { check, close } = open()
      await expect(
        run(check({ expected, what: 'x.whl' }), (await blob()).subarray(0, length), 5000),
      ).rejects.toMatchObject({
        code: 'WHEEL_INVALID',
      })
      await close()
    })

    test('makes the table of a layer on the way, the same as for a layer that is there', async () => {
      const { check, close } = open()
      const all = await blob()
      const index = (known: readonly ExpectedFile[] | undefined) =>
        run(check({ expected: known, what: 'a', isIndexing: true }), all, 5000)
      const [made, again] = [await index(expected), await index(undefined)]
      const table = await collect(copied(readParts(made.ztoc ?? [])), 2 ** 25)
      expect(table.includes('a.py')).toBe(true)
      expect((await collect(copied(readParts(again.ztoc ?? [])), 2 ** 25)).equals(table)).toBe(true)
      expect((await run(check({ expected, what: 'a' }), all, 5000)).ztoc).toBeUndefined()
      await close()
    })

    test('hashes the bytes themselves where that is asked for', async () => {
      const { check, close } = open()
      const bytes = await blob()
      for (const step of [1 << 16, 100, 13]) {
        const findings = await run(check({ expected, what: 'x.whl', isHashing: true }), bytes, step)
        expect(findings.blob).toEqual({ digest: digestOf(bytes), size: bytes.length })
      }
      expect((await run(check({ expected, what: 'x.whl' }), bytes, 5000)).blob).toBeUndefined()
      await close()
    })

    test('disturbs no other one when it is given up in the middle', async () => {
      const { check, close } = open()
      const bytes = await blob()
      const alone = await run(check({ expected, what: 'x.whl' }), bytes, 5000)
      for (let round = 0; round < 20; round++) {
        const given = check({ expected, what: 'x.whl', isHashing: true })
        const writing = given.write(bytes).catch(() => {})
        const others = [1, 2].map(() => run(check({ expected, what: 'x.whl', isHashing: true }), bytes, 20_000))
        for (let turn = 0; turn < round % 4; turn++) await setImmediate()
        given.close()
        for (const findings of await Promise.all(others)) {
          expect(findings.diffId).toBe(alone.diffId)
          expect(findings.blob?.digest).toBe(digestOf(bytes))
        }
        await writing
      }
      await close()
    })

    test('can be given up at any time', async () => {
      const { check, close } = open()
      const given = check({ expected, what: 'x.whl' })
      await given.write((await blob()).subarray(0, 200))
      given.close()
      given.close()
      await expect(run(check({ expected, what: 'x.whl' }), await blob(), 9999)).resolves.toBeDefined()
      await close()
    })

    test('runs beside others', async () => {
      const { check, close } = open()
      const bytes = await blob()
      const results = await Promise.all(
        Array.from({ length: 5 }, () => run(check({ expected, what: 'x.whl' }), bytes, 777)),
      )
      expect(new Set(results.map(({ diffId }) => diffId)).size).toBe(1)
      await close()
    })
  })
}

describe('makeCheckPool()', () => {
  test('starts threads on request, and waits until they run', async () => {
    const online: (() => void)[] = []
    const start = (): CheckThread => channelThread([], new Promise((resolve) => online.push(resolve)))
    const pool = makeCheckPool({ threads: 2, start }) ?? expect.unreachable()
    let isReady = false
    const ready = pool.ready().then(() => (isReady = true))
    await setImmediate()
    expect([online.length, isReady]).toEqual([2, false])
    for (const begin of online) begin()
    await ready
    // Those are the ones that work is given to.
    await run(pool.check({ expected, what: 'x.whl' }), await blob(), 9999)
    expect(online).toHaveLength(2)
    await pool.close()
  })

  test('starts half of its threads for work that may share one', async () => {
    let started = 0
    const pool = makeCheckPool({ threads: 4, start: () => (started++, channelThread()) }) ?? expect.unreachable()
    const shared = Array.from({ length: 5 }, () => pool.check({ compress: 'gzip' }, { mayShare: true }))
    expect(started).toBe(2)
    const alone = [pool.check({ compress: 'gzip' }), pool.check({ compress: 'gzip' })]
    expect(started).toBe(4)
    const ends = [...shared, ...alone].map((check) => check.end())
    expect(new Set((await Promise.all(ends)).map(({ tarBytes }) => tarBytes))).toEqual(new Set([0]))
    await pool.close()
  })

  test('starts threads when they are needed, and no more than it may', async () => {
    let started = 0
    const pool = makeCheckPool({ threads: 2, start: () => (started++, channelThread()) }) ?? expect.unreachable()
    expect(started).toBe(0)
    const checks = Array.from({ length: 4 }, () => pool.check({ expected, what: 'x' }))
    expect(started).toBe(2)
    for (const check of checks) check.close()
    await pool.close()
  })

  test.each([
    // The second thread has 600 MB before it when the third comes, and 750 when the fourth does.
    ['the thread that has fewest bytes before it', false, [700e6, 600e6, 150e6, 1e6], [0, 1, 1, 0]],
    ['that one, however many layers it has', false, [700e6, 600e6, 1e6, 1e6], [0, 1, 1, 1]],
    [
      'the one that has fewer layers, where many streams are hashed at once',
      true,
      [700e6, 600e6, 1e6, 1e6],
      [0, 1, 1, 0],
    ],
  ])('gives work to %s', async (_, areWide, sizes, expectedThreads) => {
    const sent: [thread: number, id: number][] = []
    let threads = 0
    const start = (): CheckThread => {
      const thread = channelThread()
      const at = threads++
      return {
        ...thread,
        send: (request, transfer) => {
          if (request.type === 'start') sent.push([at, request.id])
          thread.send(request, transfer)
        },
      }
    }
    const pool = makeCheckPool({ threads: 2, start, lanes: { areMany: true, areWide } }) ?? expect.unreachable()
    const check = (expectedBytes: number) => pool.check({ expected, what: 'x' }, { expectedBytes })
    const checks = sizes.map(check)
    expect(sent.map(([thread]) => thread)).toEqual(expectedThreads)
    for (const one of checks) one.close()
    await pool.close()
  })

  test.skipIf(!threadLanes().areMany)(
    'hashes a stream beside what a thread checks, and none on a thread that has nothing to check',
    async () => {
      const holds: boolean[] = []
      const start = (): CheckThread => ({ ...channelThread(), hold: (isBusy) => void holds.push(isBusy) })
      const pool = makeCheckPool({ threads: 1, start }) ?? expect.unreachable()
      expect(pool.digester('sha256')).toBeUndefined()
      const check = pool.check({ expected, what: 'x' })
      const bytes = Buffer.from(new SharedArrayBuffer(3 << 20)).fill('some of a wheel ')
      const digester = pool.digester('sha256') ?? expect.unreachable()
      digester.update(bytes.subarray(0, 1 << 20))
      await check.write((await blob()).subarray(0, 10))
      await digester.settled()
      digester.update(bytes.subarray(1 << 20))
      await digester.settled()
      check.close()
      // The thread is held until the last of both has ended.
      expect(holds.at(-1)).toBe(true)
      expect(await digester.digest()).toBe(digestOf(bytes))
      digester.close()
      expect(holds.at(-1)).toBe(false)
      await pool.close()
    },
  )

  test('fails a check whose thread ends', async () => {
    const ends: ((error: unknown) => void)[] = []
    const pool = makeCheckPool({ threads: 1, start: () => channelThread(ends) }) ?? expect.unreachable()
    const check = pool.check({ expected, what: 'x' })
    const ending = check.end()
    for (const end of ends) end(new Error('out of memory'))
    await expect(ending).rejects.toMatchObject({ code: 'INTERNAL' })
    await pool.close()
  })
})
