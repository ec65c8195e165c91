import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { MessageChannel } from 'node:worker_threads'
import type { DigestAlgorithm } from 'oci-spec-types'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LayerContext } from '../../layers/context.ts'
import { makeLayerStream, type LayerSpec } from '../../layers/kinds/index.ts'
import { FileRanges, type FilePart } from '../../layers/file-ranges.ts'
import { makeOpenDirect } from '../../layers/range-file.ts'
import { collect, copied } from '../../src/core/bytes.ts'
import { memoryCache } from '../../src/core/cache.ts'
import { HashThread } from '../../src/core/hash-thread/pool.ts'
import { serveHashes } from '../../src/core/hash-thread/serve.ts'
import { makeHttp } from '../../src/core/http.ts'
import { occupyProcessor } from '../../src/core/processors.ts'
import { silent } from '../../src/core/progress.ts'
import { readLayer } from '../support/layer-bytes.ts'
import { makeWheel } from '../support/wheel.ts'
import { bytesAccess } from '../support/zip.ts'

const wheel = makeWheel({
  files: [
    { name: 'a.bin', content: randomBytes(300_000) },
    { name: 'b.py', content: 'b' },
  ],
})
let server: Server
let served = wheel.bytes
/** What range requests are answered from, when that is not the file. */
let partsOf: Buffer | undefined
let knowsRanges = true
let requests: (string | undefined)[] = []
let sentBytes = 0
beforeEach(async () => {
  served = wheel.bytes
  partsOf = undefined
  knowsRanges = true
  requests = []
  sentBytes = 0
  server = createServer((request, response) => {
    const { range } = request.headers
    requests.push(range)
    const [, start = '0', end = ''] = /^bytes=(\d+)-(\d*)$/.exec(knowsRanges ? (range ?? '') : '') ?? []
    const part = (range === undefined ? served : (partsOf ?? served)).subarray(
      Number(start),
      end === '' ? undefined : Number(end) + 1,
    )
    if (range !== undefined && knowsRanges)
      response.writeHead(206, { 'content-range': `bytes ${start}-${Number(start) + part.length - 1}/${served.length}` })
    sentBytes += part.length
    response.end(part)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const file = () => ({
  filename: wheel.filename,
  url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/${wheel.filename}`,
  sha256: wheel.sha256,
  sizeBytes: wheel.bytes.length,
})
let open: ReturnType<typeof makeOpenDirect>
let context: LayerContext
beforeEach(() => {
  open = makeOpenDirect({ http: makeHttp(), pauseMs: 1 })
  context = { openRemote: open, projectFolder: '/', report: silent }
})
const spec = (): LayerSpec => ({ kind: 'wheels', prefix: 'opt/venv', python: '3.11', wheels: [file()] })

describe('a wheel that is spliced while it is downloaded', () => {
  test('gives the same layer with two requests and one copy of its bytes', async () => {
    const layer = await readLayer(await makeLayerStream(spec(), context))
    const stored = await readLayer(
      await makeLayerStream(spec(), { ...context, openRemote: async () => bytesAccess(wheel.bytes) }),
    )
    expect(layer.digest).toBe(stored.digest)
    expect(requests).toEqual([expect.stringMatching(/^bytes=\d+-\d+$/), undefined])
    expect(sentBytes).toBeLessThanOrEqual(wheel.bytes.length + 2 ** 17)
  })

  test('is refused when its bytes are not the locked ones, even those after the last file', async () => {
    served = Buffer.from(wheel.bytes)
    served.writeUInt8(served.readUInt8(50_000) ^ 1, 50_000)
    await expect(makeLayerStream(spec(), context).then(readLayer)).rejects.toMatchObject({
      code: expect.stringMatching(/_(?:MISMATCH|INVALID)$/),
    })
    served = Buffer.from(wheel.bytes)
    served.writeUInt16LE(0x1234, served.length - 22 - 46 - wheel.filename.length)
    await expect(makeLayerStream(spec(), context).then(readLayer)).rejects.toMatchObject({
      code: expect.stringMatching(/_(?:MISMATCH|INVALID)$/),
    })
  })

  test('is refused when its tail was another one than the whole file has', async () => {
    const other = Buffer.from(wheel.bytes)
    // The mode of the first file, in the directory: nothing but the file's hash would tell.
    const at = other.indexOf(Buffer.from([0x50, 0x4b, 1, 2])) + 40
    other.writeUInt8(other.readUInt8(at) ^ 0x49, at)
    partsOf = other
    await expect(makeLayerStream(spec(), context).then(readLayer)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  test('is fetched whole from a server that knows no ranges', async () => {
    knowsRanges = false
    const direct = makeOpenDirect({ http: makeHttp(), pauseMs: 1, openWhole: async () => bytesAccess(wheel.bytes) })
    const layer = await readLayer(await makeLayerStream(spec(), { ...context, openDirect: direct, openRemote: direct }))
    expect(layer.blob.length).toBeGreaterThan(0)
    expect(requests).toHaveLength(1)
  })
})

describe('makeOpenDirect()', () => {
  test('reads the tail once, and other places as asked', async () => {
    const source = await open(file())
    expect(wheel.bytes.subarray(-100).equals(await source.read(source.sizeBytes - 100, 100))).toBe(true)
    await source.read(source.sizeBytes - 50, 50)
    expect(requests).toHaveLength(1)
    expect(wheel.bytes.subarray(5, 15).equals(await source.read(5, 10))).toBe(true)
    expect(requests).toHaveLength(2)
    await expect(source.read(source.sizeBytes, 1)).rejects.toThrow(RangeError)
    expect((await collect(source.stream(10, 100_000), 2 ** 20)).equals(wheel.bytes.subarray(10, 100_010))).toBe(true)
  })

  test('proves what was read, once, and knows it in the next build without asking', async () => {
    const ranges = memoryCache()
    const first = await makeOpenDirect({ http: makeHttp(), ranges })(file())
    await first.read(first.sizeBytes - 100, 100)
    await first.prove?.()
    await first.prove?.()
    expect(requests).toEqual([expect.stringMatching(/^bytes=/), undefined])
    const second = await makeOpenDirect({ http: makeHttp(), ranges })(file())
    expect(wheel.bytes.subarray(-100).equals(await second.read(second.sizeBytes - 100, 100))).toBe(true)
    await second.prove?.()
    expect(requests).toHaveLength(2)
  })

  test('holds the proven parts of few files, and knows those of the others by their hashes', async () => {
    const many = Array.from({ length: 150 }, (_, n) =>
      makeWheel({ version: `1.${n}`, files: [{ name: 'a.bin', content: randomBytes(140_000) }] }),
    )
    const readTail = async (made: (typeof many)[number]): Promise<void> => {
      served = made.bytes
      const source = await open({ ...file(), sha256: made.sha256, sizeBytes: made.bytes.length })
      const tail = await source.read(source.sizeBytes - 100, 100)
      expect(made.bytes.subarray(-100).equals(tail)).toBe(true)
      await source.prove?.()
    }
    for (const made of many) await readTail(made)
    expect(requests).toHaveLength(2 * many.length)
    requests = []
    for (const made of many) await readTail(made)
    // 128 of them are held; the tail of each other is asked for once more, and the whole of none.
    expect(requests).toHaveLength(22)
    expect(requests).not.toContain(undefined)
    const last = many.at(-1) ?? wheel
    served = Buffer.from(last.bytes)
    served.writeUInt8(served.readUInt8(served.length - 200) ^ 1, served.length - 200)
    const changed = await open({ ...file(), sha256: last.sha256, sizeBytes: served.length })
    await expect(changed.prove?.()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  test('asks once for a file that comes with its tail, proves it, and asks again where it was damaged', async () => {
    const small = makeWheel({ files: [{ name: 'a.bin', content: randomBytes(50_000) }] })
    const address = { ...file(), sha256: small.sha256, sizeBytes: small.bytes.length }
    served = small.bytes
    const source = await open(address)
    await source.read(source.sizeBytes - 100, 100)
    expect((await collect(source.stream(0, 40_000), 2 ** 20)).equals(small.bytes.subarray(0, 40_000))).toBe(true)
    await source.prove?.()
    const compared = await makeOpenDirect({ http: makeHttp() })(address, { isCompared: true })
    expect((await collect(compared.stream(0, 40_000), 2 ** 20)).equals(small.bytes.subarray(0, 40_000))).toBe(true)
    expect(requests).toEqual([expect.stringMatching(/^bytes=0-/), expect.stringMatching(/^bytes=0-/)])
    const again = makeOpenDirect({ http: makeHttp() })
    partsOf = Buffer.from(small.bytes)
    partsOf.writeUInt8(partsOf.readUInt8(60) ^ 1, 60)
    const damaged = await again(address)
    await expect(collect(damaged.stream(0, 100), 2 ** 20)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    partsOf = undefined
    expect((await collect((await again(address)).stream(0, 100), 2 ** 20)).equals(small.bytes.subarray(0, 100))).toBe(
      true,
    )
  })

  test('proves a whole file at the end of its stream', async () => {
    const source = await open({ ...file(), sha256: '0'.repeat(64) })
    await expect(collect(source.stream(0, 10), 100)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  test('proves and keeps nothing for who compares what it makes, but what is known by its hash', async () => {
    const ranges = memoryCache()
    const tail = { offset: wheel.bytes.length - 2 ** 17, sizeBytes: 2 ** 17 }
    const sha256 = createHash('sha256').update(wheel.bytes.subarray(tail.offset)).digest('hex')
    const stream = async (parts: readonly FilePart[]): Promise<Buffer> => {
      const source = await makeOpenDirect({ http: makeHttp(), ranges, parts: () => parts })(file(), {
        isCompared: true,
      })
      return collect(source.stream(0, 1000), 2000)
    }
    partsOf = Buffer.from(wheel.bytes)
    served = Buffer.from(wheel.bytes)
    served.writeUInt8(served.readUInt8(5000) ^ 1, 5000)
    expect((await stream([])).equals(wheel.bytes.subarray(0, 1000))).toBe(true)
    expect(await ranges.get(wheel.sha256)).toBeUndefined()
    await stream([{ ...tail, sha256 }])
    expect(FileRanges.unpack((await ranges.get(wheel.sha256)) ?? Buffer.alloc(0))?.describe()).toEqual([
      { ...tail, sha256 },
    ])
    await expect(makeOpenDirect({ http: makeHttp() })(file()).then((it) => it.prove?.())).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    })
  })

  test('has a large file hashed where it is told to, and refuses another one all the same', async () => {
    const large = randomBytes(17 << 20)
    const sha256 = createHash('sha256').update(large).digest('hex')
    const { port } = server.address() as AddressInfo
    const proven = async (bytes: Buffer): Promise<readonly string[]> => {
      served = bytes
      const { port1, port2 } = new MessageChannel()
      serveHashes(port2)
      const asked: string[] = []
      const thread = new HashThread(
        {
          send: (request) => {
            asked.push(request.type)
            port1.postMessage(request)
          },
          onAnswer: (listener) => void port1.on('message', listener),
          onEnd: () => {},
          hold: () => {},
        },
        () => () => {},
      )
      try {
        const address = { url: `http://127.0.0.1:${port}/large.whl`, sha256, sizeBytes: large.length }
        const hashBeside = (algorithm: DigestAlgorithm) => thread.digester(algorithm)
        const source = await makeOpenDirect({ http: makeHttp() })(address, { hashBeside })
        const read = await collect(copied(source.stream(0, large.length)), large.length)
        expect(read.equals(large)).toBe(true)
        return asked
      } finally {
        port1.close()
      }
    }
    // Where a processor were left, a thread of its own would hash.
    const release = Array.from({ length: 64 }, () => occupyProcessor())
    try {
      expect((await proven(large)).at(-1)).toBe('end')
      const other = Buffer.from(large)
      other.writeUInt8(other.readUInt8(1 << 20) ^ 1, 1 << 20)
      await expect(proven(other)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    } finally {
      for (const end of release) end()
    }
  })
})
