import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { LayerSpec } from '../../layers/kinds/index.ts'
import { layerStore } from '../../layers/layer-store.ts'
import { materialiseAll } from '../../layers/materialise.ts'
import type { LayerStore } from '../../layers/stored-layer.ts'
import { makeOpenDirect } from '../../layers/range-file.ts'
import { makeHttp } from '../../src/core/http.ts'
import { silent } from '../../src/core/progress.ts'
import { batches, slabs } from '../../src/core/slabs.ts'
import { Store } from '../../src/store/store.ts'
import { makeWheel } from '../support/wheel.ts'

/** Large enough for a connection of its own each, and many times what may be in flight. */
const wheels = Array.from({ length: 8 }, (_, n) =>
  makeWheel({ name: `large${n}`, files: [{ name: `large${n}.bin`, content: randomBytes(5 << 20) }] }),
)
let folder = ''
let server: Server
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lw-flight-'))
  server = createServer((request, response) => {
    const bytes = wheels.find(({ filename }) => request.url === `/${filename}`)?.bytes ?? Buffer.alloc(0)
    const [, start = '0', end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
    if (end === undefined) return void response.writeHead(200, { 'content-length': bytes.length }).end(bytes)
    response.writeHead(206, { 'content-range': `bytes ${start}-${end}/${bytes.length}` })
    return void response.end(bytes.subarray(Number(start), Number(end) + 1))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(async () => {
  server.closeAllConnections()
  server.close()
  await rm(folder, { recursive: true, force: true })
})

/** What the streams of a build hold, in bytes. */
function inFlight(): number {
  return slabs.lent * slabs.bytes + batches.lent * batches.bytes
}

test('a build into a slow store holds as much as its few downloads may, whatever the number of wheels', async () => {
  const stored = layerStore(await Store.open(folder))
  const before = inFlight()
  let most = 0
  const slowly = async function* (stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of stream) {
      await sleep(1)
      most = Math.max(most, inFlight() - before)
      yield chunk
    }
  }
  const slow: LayerStore = {
    ...stored,
    save: (key, stream) => stored.save(key, { ...stream, blob: slowly(stream.blob) }),
  }
  const port = (server.address() as AddressInfo).port
  const specs = wheels.map(({ filename, sha256, bytes }): LayerSpec => ({
    kind: 'wheels',
    prefix: 'opt/venv',
    python: '3.11',
    wheels: [{ filename, sha256, sizeBytes: bytes.length, url: `http://127.0.0.1:${port}/${filename}` }],
  }))
  const open = makeOpenDirect({ http: makeHttp({ env: {} }) })
  await materialiseAll(specs, { openRemote: open, projectFolder: '/', report: silent }, slow, 2)
  // Two layers at a time: three slabs for each connection, and what is gathered ahead of the store and in it. A connection
  // that is done gives its memory back when it is closed, which may be just after the next one has begun.
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThanOrEqual(2 * (2 * 3 * slabs.bytes + 2 * batches.bytes))
  await vi.waitFor(() => expect(inFlight()).toBe(before), 30_000)
})
