import { createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { digestOf } from '../../../src/core/digest.ts'
import { Digester } from '../../../src/core/digest.ts'
import { makeHttp, type HttpResponse } from '../../../src/core/http.ts'
import { slabs } from '../../../src/core/slabs.ts'

let server: Server | undefined
const sockets = new Set<Socket>()
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())))
  server = undefined
})

/** Answers every request with what `answer` does to its socket; gives the address and the requests' heads. */
async function serve(
  answer: (socket: Socket, head: string) => void | Promise<void>,
): Promise<{ url: string; heads: string[] }> {
  const heads: string[] = []
  server = createServer((socket) => {
    sockets.add(socket)
    let head = ''
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      head += String(chunk)
      if (!head.endsWith('\r\n\r\n')) return
      heads.push(head)
      void answer(socket, head)
      head = ''
    })
  })
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/blob?a=%2D`, heads }
}

const bytes = Buffer.from(Array.from({ length: 6 << 20 }, (_, index) => (index * 31 + (index >> 10)) & 255))

function ask(
  url: string,
  more: { readonly signal?: AbortSignal; readonly patienceMs?: number } = {},
): Promise<HttpResponse> {
  const { signal, patienceMs } = more
  return makeHttp({ env: {}, retry: false, patienceMs })({
    url,
    bulk: true,
    decode: false,
    signal,
    headers: { range: 'bytes=0-' },
  })
}

/** What a body is, read piece by piece and slowly enough for every buffer to be full meanwhile. */
async function digest(response: HttpResponse, pauseMs = 0): Promise<string> {
  const digester = new Digester()
  for await (const piece of response.body) {
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
    digester.update(piece)
  }
  return digester.digest()
}

const OK = `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\nX-Twice: a\r\nX-Twice: b\r\n\r\n`

describe('a bulk answer', () => {
  test('has status, headers and the bytes', async () => {
    const { url, heads } = await serve((socket) => void socket.end(Buffer.concat([Buffer.from(OK), bytes])))
    const response = await ask(url)
    expect([response.status, response.header('x-twice'), response.header('absent')]).toEqual([200, 'a, b', undefined])
    expect(await digest(response)).toBe(digestOf(bytes))
    expect(heads[0]).toMatch(/^GET \/blob\?a=%2D HTTP\/1\.1\r\nhost: 127\.0\.0\.1:\d+\r\n/)
    expect(heads[0]).toContain('\r\nrange: bytes=0-\r\n')
    expect(heads[0]).toContain('\r\naccept-encoding: identity\r\n')
    expect(heads[0]).toContain('\r\nconnection: close\r\n')
  })

  test('waits for a consumer that is slower than the network', async () => {
    const { url } = await serve((socket) => void socket.end(Buffer.concat([Buffer.from(OK), bytes])))
    expect(await digest(await ask(url), 10)).toBe(digestOf(bytes))
  })

  test('may come byte by byte in its head', async () => {
    const { url } = await serve(async (socket) => {
      socket.setNoDelay(true)
      for (const letter of OK) {
        socket.write(letter)
        await new Promise((resolve) => setImmediate(resolve))
      }
      socket.end(bytes)
    })
    expect(await digest(await ask(url))).toBe(digestOf(bytes))
  })

  test('may come in chunks of any size, with extensions and trailers', async () => {
    const { url } = await serve((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      for (let at = 0, size = 1; at < bytes.length; at += size, size = size * 3 + 1) {
        const part = bytes.subarray(at, at + size)
        socket.write(Buffer.concat([Buffer.from(`${part.length.toString(16)};x=1\r\n`), part, Buffer.from('\r\n')]))
      }
      socket.write('0\r\nTrailer: 1\r\n\r\n')
    })
    expect(await digest(await ask(url))).toBe(digestOf(bytes))
  })

  test('without a length ends with the connection', async () => {
    const { url } = await serve((socket) => {
      socket.write('HTTP/1.0 200 OK\r\n\r\n')
      socket.end(bytes)
    })
    expect(await digest(await ask(url))).toBe(digestOf(bytes))
  })

  test('comes after interim answers', async () => {
    const { url } = await serve((socket) => {
      socket.write('HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n')
      socket.end(Buffer.concat([Buffer.from(OK), bytes]))
    })
    expect(await digest(await ask(url))).toBe(digestOf(bytes))
  })

  test('may be an error with a text', async () => {
    const { url } = await serve(
      (socket) => void socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnonemore'),
    )
    const response = await ask(url)
    expect([response.status, String(await response.bytes(100))]).toEqual([404, 'none'])
  })

  test('is followed through a redirect', async () => {
    const { url, heads } = await serve((socket, head) =>
      head.startsWith('GET /blob')
        ? void socket.end(
            'HTTP/1.1 307 Temporary Redirect\r\nLocation: /there\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
          )
        : void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
    )
    expect(String(await (await ask(url)).bytes(10))).toBe('ok')
    expect(heads).toHaveLength(2)
  })

  test('that breaks off gives what came before the error', async () => {
    const { url } = await serve(
      (socket) => void socket.end(Buffer.concat([Buffer.from(OK), bytes.subarray(0, 3_000_000)])),
    )
    const response = await ask(url)
    let count = 0
    const read = async (): Promise<void> => {
      for await (const piece of response.body) count += piece.length
    }
    await expect(read()).rejects.toMatchObject({ code: 'NETWORK_FAILED', data: { reason: 'ECONNRESET' } })
    expect(count).toBe(3_000_000)
  })

  test('that goes silent is given up, after what came', async () => {
    const { url } = await serve(
      (socket) => void socket.write(Buffer.concat([Buffer.from(OK), bytes.subarray(0, 100_000)])),
    )
    // The head and what came must arrive in that time, on a busy machine too.
    const response = await ask(url, { patienceMs: 1000 })
    let count = 0
    const read = async (): Promise<void> => {
      for await (const piece of response.body) count += piece.length
    }
    await expect(read()).rejects.toMatchObject({ code: 'NETWORK_FAILED', data: { reason: 'ETIMEDOUT' } })
    expect(count).toBe(100_000)
  })

  test('gives its memory back when it was read to its end', async () => {
    const before = slabs.lent
    const { url } = await serve((socket) => void socket.end(Buffer.concat([Buffer.from(OK), bytes])))
    let most = 0
    for await (const _ of (await ask(url)).body) {
      // While the first is in hand, as much is read ahead as may be.
      if (most === 0) await vi.waitFor(() => expect(slabs.lent - before).toBe(3), 30_000)
      await new Promise((resolve) => setTimeout(resolve, 1))
      most = Math.max(most, slabs.lent - before)
    }
    expect(most).toBe(3)
    await vi.waitFor(() => expect(slabs.lent).toBe(before), 30_000)
  })

  test('whose head never comes is given up', async () => {
    const { url } = await serve(() => {})
    await expect(ask(url, { patienceMs: 100 })).rejects.toMatchObject({ data: { reason: 'ETIMEDOUT' } })
  })

  test('ends with the signal', async () => {
    const { url } = await serve((socket) => void socket.write(OK))
    const abort = new AbortController()
    const response = await ask(url, { signal: abort.signal })
    setTimeout(() => abort.abort(new Error('enough')), 20)
    await expect(digest(response)).rejects.toThrow('enough')
  })

  test('closes the connection when its consumer stops early', async () => {
    const closed = new Promise<void>((resolve) => {
      void serve((socket) => {
        socket.on('close', () => resolve())
        socket.write(Buffer.concat([Buffer.from(OK), bytes]))
      }).then(async ({ url }) => {
        for await (const _ of (await ask(url)).body) break
      })
    })
    await closed
  })

  test.each([
    ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['a length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nab'],
    ['chunks and a length', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nab'],
    ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab'],
    ['a line that is no header', 'HTTP/1.1 200 OK\r\nwhat is this\r\n\r\n'],
    ['a header that is folded', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n'],
    ['an endless head', `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(200_000)}`],
  ])('that is broken is refused: %s', async (_, text) => {
    const { url } = await serve((socket) => void socket.end(text))
    await expect(ask(url)).rejects.toMatchObject({ code: 'NETWORK_FAILED', data: { reason: 'HPE_INVALID' } })
  })

  test.each([
    ['another coding', 'gzip', 'x'],
    ['no size', 'chunked', 'zz\r\n'],
    ['no end of a chunk', 'chunked', '1\r\nabc'],
    ['a size without an end', 'chunked', '1'.repeat(5000)],
  ])('whose chunks are broken is refused: %s', async (_, coding, body) => {
    const { url } = await serve(
      (socket) => void socket.end(`HTTP/1.1 200 OK\r\nTransfer-Encoding: ${coding}\r\n\r\n${body}`),
    )
    await expect(digest(await ask(url))).rejects.toMatchObject({ data: { reason: 'HPE_INVALID' } })
  })

  test('whose chunks have no last one is not whole', async () => {
    const { url } = await serve(
      (socket) => void socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n'),
    )
    await expect(digest(await ask(url))).rejects.toMatchObject({ data: { reason: 'ECONNRESET' } })
  })
})
