import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { makeLimiter } from '../../src/core/limits.ts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeOpenRemote, type RemoteOptions } from '../../layers/remote.ts'
import { makeHttp } from '../../src/core/http.ts'
import { silent, type ProgressEvent } from '../../src/core/progress.ts'
import { Store } from '../../src/store/store.ts'

const content = randomBytes(300_000)
const sha256 = createHash('sha256').update(content).digest('hex')

let folder = ''
let server: Server
let answer: (request: IncomingMessage, response: ServerResponse) => void
let requests: { readonly url: string; readonly range: string | undefined }[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lw-remote-'))
  requests = []
  answer = serve
  server = createServer((request, response) => {
    requests.push({ url: request.url ?? '', range: request.headers.range })
    answer(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(async () => {
  server.closeAllConnections()
  server.close()
  await rm(folder, { recursive: true, force: true })
})

/** Serves the content, and parts of it. */
function serve(request: IncomingMessage, response: ServerResponse): void {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  if (start > 0) response.writeHead(206, { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` })
  response.end(content.subarray(start))
}

/** Cuts every answer after some bytes. */
function cutAfter(bytes: number) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const part = content.subarray(start, start + bytes)
    const headers = {
      'content-length': content.length - start,
      'content-range': `bytes ${start}-${content.length - 1}/${content.length}`,
    }
    response.writeHead(start > 0 ? 206 : 200, headers)
    if (start + part.length === content.length) response.end(part)
    else response.write(part, () => response.destroy())
  }
}

const fileAt = (path: string) => ({
  url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
  sha256,
  sizeBytes: content.length,
})

async function opener(change: Partial<RemoteOptions> = {}) {
  const store = await Store.open(join(folder, 'store'))
  return makeOpenRemote({ http: makeHttp(), store, report: silent, pauseMs: 1, ...change })
}

async function read(open: Awaited<ReturnType<typeof opener>>, file = fileAt('/a.whl')): Promise<Uint8Array> {
  const source = await open(file)
  try {
    return await source.read(0, source.sizeBytes)
  } finally {
    await source.close()
  }
}

describe('openRemote()', () => {
  test('fetches a file once, however many ask for it at once and later', async () => {
    const open = await opener()
    const all = await Promise.all([read(open), read(open), read(open)])
    for (const bytes of all) expect(content.equals(bytes)).toBe(true)
    await read(open)
    expect(requests).toHaveLength(1)
  })

  test('finds a file again in another process by its hash, from any address', async () => {
    await read(await opener())
    await read(await opener(), fileAt('/elsewhere/b.whl'))
    expect(requests).toHaveLength(1)
  })

  test('fetches a file again that was taken away while the build runs', async () => {
    const open = await opener()
    await read(open)
    const store = await Store.open(join(folder, 'store'))
    await rm(store.path(`sha256:${sha256}`))
    expect(content.equals(await read(open))).toBe(true)
    expect(requests).toHaveLength(2)
  })

  test('takes a download up where it was cut', async () => {
    answer = cutAfter(100_000)
    expect(content.equals(await read(await opener()))).toBe(true)
    // What was on its way when the connection broke may be lost, so the places are not exact.
    const places = requests.map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0))
    expect(places.length).toBeGreaterThanOrEqual(3)
    expect(places).toEqual([...new Set(places)].toSorted((a, b) => a - b))
  })

  test('starts over when the server knows no ranges', async () => {
    let cuts = 0
    answer = (_, response) => {
      if (cuts++ > 0) response.end(content)
      else
        response
          .writeHead(200, { 'content-length': content.length })
          .write(content.subarray(0, 50_000), () => response.destroy())
    }
    expect(content.equals(await read(await opener()))).toBe(true)
    expect(requests).toHaveLength(2)
  })

  test('refuses a part of another place than it asked for', async () => {
    let first = true
    answer = (request, response) => {
      if (first) cutAfter(100_000)(request, response)
      else response.writeHead(206, { 'content-range': `bytes 0-9/${content.length}` }).end(content.subarray(0, 10))
      first = false
    }
    await expect(read(await opener())).rejects.toMatchObject({ code: 'INDEX_FAILED' })
  })

  test('gives up when nothing arrives any more', async () => {
    answer = (_, response) => {
      response.writeHead(200, { 'content-length': content.length }).flushHeaders()
      setTimeout(() => response.destroy(), 5)
    }
    await expect(read(await opener({ attempts: 3 }))).rejects.toMatchObject({
      code: 'NETWORK_FAILED',
      message: expect.stringContaining('broke off 3 times'),
    })
    expect(requests).toHaveLength(3)
  })

  test.each([
    [401, 'INDEX_DENIED'],
    [403, 'INDEX_DENIED'],
    [404, 'WHEEL_NOT_FOUND'],
    [410, 'WHEEL_NOT_FOUND'],
    [418, 'INDEX_FAILED'],
    [500, 'INDEX_UNAVAILABLE'],
    [503, 'INDEX_UNAVAILABLE'],
  ])('explains the status %i', async (status, code) => {
    answer = (_, response) => response.writeHead(status).end()
    await expect(read(await opener())).rejects.toMatchObject({ code })
  })

  test.each([
    ['other bytes', Buffer.alloc(content.length), 'DIGEST_MISMATCH'],
    ['more bytes', Buffer.concat([content, Buffer.alloc(9)]), 'SIZE_MISMATCH'],
  ])('keeps nothing of %s', async (_, bytes, code) => {
    answer = (_, response) => response.end(bytes)
    const open = await opener()
    await expect(read(open)).rejects.toMatchObject({ code })
    answer = serve
    expect(content.equals(await read(open))).toBe(true)
  })

  test('reads file: addresses, and proves them too', async () => {
    const path = join(folder, 'local file.whl')
    await writeFile(path, content)
    const file = { ...fileAt(''), url: pathToFileURL(path).href }
    expect(content.equals(await read(await opener(), file))).toBe(true)
    await expect(read(await opener(), { ...file, sha256: '0'.repeat(64) })).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    })
  })

  test('sends the headers it is given, and never names a secret', async () => {
    const seen: (string | undefined)[] = []
    answer = (request, response) => {
      seen.push(request.headers.authorization)
      response.writeHead(403).end()
    }
    const open = await opener({ headers: async () => ({ authorization: 'Basic c2VjcmV0' }) })
    const error = await read(open, { ...fileAt('/a.whl?token=secret') }).catch(String)
    expect(seen).toEqual(['Basic c2VjcmV0'])
    expect(error).not.toMatch(/secret|c2VjcmV0/)
  })

  test('asks for room on the disk first', async () => {
    const open = await opener()
    await expect(open({ ...fileAt('/a.whl'), sizeBytes: 2 ** 52 })).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect(requests).toHaveLength(0)
  })

  test('reports bytes as they come', async () => {
    const events: ProgressEvent[] = []
    await read(await opener({ report: (event) => void events.push(event) }))
    expect(events[0]).toMatchObject({ type: 'start', name: 'download a.whl', totalBytes: content.length })
    expect(events.at(-2)).toMatchObject({ type: 'bytes', bytes: content.length })
    expect(events.at(-1)).toMatchObject({ type: 'end', outcome: 'done' })
  })

  test('stops when it is told to', async () => {
    const aborter = new AbortController()
    answer = (_, response) => {
      response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 1000))
      setTimeout(() => aborter.abort(new Error('enough')), 20)
    }
    await expect(read(await opener({ signal: aborter.signal }))).rejects.toThrow('enough')
  })

  test('runs no more downloads at once than it may', async () => {
    let now = 0
    let most = 0
    let meet = (): void => {}
    const met = new Promise<void>((resolve) => (meet = resolve))
    answer = (_, response) => {
      most = Math.max(most, ++now)
      // Nobody is answered before as many have asked as may, and then a moment later: a third would come meanwhile.
      if (now === 2) meet()
      const answerLater = (): unknown => setTimeout(() => (now--, response.end('x')), 5)
      void met.then(answerLater)
    }
    const open = await opener({ limit: makeLimiter(2) })
    const one = createHash('sha256').update('x').digest('hex')
    await Promise.all(
      Array.from({ length: 6 }, (_, n) =>
        open({ ...fileAt(`/${n}`), sizeBytes: 1, sha256: n === 0 ? one : String(n).repeat(64) }).then(
          (source) => source.close(),
          () => {},
        ),
      ),
    )
    expect(most).toBe(2)
  })
})

test('makeOpenRemote() of builds that share a store fetches a file once', async () => {
  const openers = await Promise.all(Array.from({ length: 8 }, () => opener()))
  const copies = await Promise.all(openers.map((open) => read(open)))
  expect(copies.every((copy) => content.equals(copy))).toBe(true)
  expect(requests).toHaveLength(1)
})
