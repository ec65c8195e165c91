import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { systemErrorCode } from '../errors.ts'
import { drop, patiently, StaleConnectionError, type Answer, type Exchange } from './exchange.ts'
import { Patience } from './patience.ts'

/** What an answer may send ahead of its reader; the largest index pages have 7 MB. */
const STREAM_WINDOW_BYTES = 8 << 20
const CONNECTION_WINDOW_BYTES = 64 << 20

/** What a server is taken to bear that does not say; RFC 9113 recommends no less. */
const DEFAULT_CAPACITY = 100

/** One HTTP/2 connection that carries many requests at once. */
export class SharedConnection {
  readonly #session: ClientHttp2Session
  #active = 0
  #isRetired = false

  /** @param socket  connected, and agreed on `h2` */
  constructor(origin: URL, socket: Duplex) {
    this.#session = connect(origin.origin, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES },
    })
    this.#session.once('connect', () => this.#session.setLocalWindowSize(CONNECTION_WINDOW_BYTES))
    // Each stream hears of it by itself.
    this.#session.on('error', () => this.retire())
    this.#session.once('goaway', () => this.retire())
    this.#session.once('close', () => this.retire())
    this.#session.unref()
  }

  /** Takes further requests; what runs already is not disturbed by the end of this. */
  get isUsable(): boolean {
    return !this.#isRetired && !this.#session.closed && !this.#session.destroyed
  }

  /** How many requests the server takes at once. */
  get capacity(): number {
    return this.#session.remoteSettings.maxConcurrentStreams ?? DEFAULT_CAPACITY
  }

  /** Takes no further request, and closes after the last answer. */
  retire(): void {
    this.#isRetired = true
    if (!this.#session.destroyed && this.#active === 0) this.#session.close()
  }

  /** Starts a request without a body. The process stays while one runs. */
  open(method: string, url: URL, headers: Readonly<Record<string, string>>): ClientHttp2Stream {
    const stream = this.#session.request(
      {
        ...headers,
        ':method': method,
        ':scheme': 'https',
        ':authority': url.host,
        ':path': `${url.pathname}${url.search}`,
      },
      { endStream: true },
    )
    if (this.#active++ === 0) this.#session.ref()
    stream.once('close', () => {
      if (--this.#active > 0) return
      if (this.#isRetired) this.#session.close()
      else this.#session.unref()
    })
    return stream
  }
}

/** Sends a request without a body over a shared connection; the answer's body is as it came over the wire. */
export function exchangeShared(exchange: Omit<Exchange, 'agent' | 'body'>, shared: SharedConnection): Promise<Answer> {
  const { method, url, headers, signal, patienceMs } = exchange
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error)
      return
    }
    const stream = shared.open(method, url, headers)
    const patience = new Patience(patienceMs(0), `get an answer from ${url.host}`)
    const onAbort = (): void => void stream.destroy(new Error('Aborted'))
    const close = (): void => signal?.removeEventListener('abort', onAbort)
    const fail = (error: unknown): void => {
      patience.end()
      close()
      // A connection on which something hung or broke is not trusted with the next try; a reader may stop early.
      if (signal?.aborted !== true && systemErrorCode(error) !== 'ABORT_ERR') shared.retire()
      if (!stream.destroyed) stream.close(constants.NGHTTP2_CANCEL)
      reject(asConnectionError(error, stream))
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    patience.over.catch(fail)
    stream.on('error', fail)
    const onClose = (): void => fail(new Error('The server ended the exchange without an answer'))
    stream.once('close', onClose)
    stream.once('response', (answer) => {
      stream.off('close', onClose)
      patience.pause()
      resolve({
        status: answer[':status'] ?? 0,
        sharedBy: shared.capacity,
        header: (name) => {
          const value = answer[name.toLowerCase()]
          return Array.isArray(value) ? value.join(', ') : value
        },
        body: whole(stream, answer['content-length'], patiently(stream, patience, close)),
        discard: () => drop(stream, patience, close),
      })
    })
  })
}

/** A stream of HTTP/2 whose connection breaks ends as if all were there; this one then throws. */
async function* whole(
  stream: ClientHttp2Stream,
  stated: string | undefined,
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    yield chunk
  }
  const isCut = stream.aborted || stream.rstCode !== constants.NGHTTP2_NO_ERROR
  if (isCut || (stated !== undefined && Number(stated) !== bytes)) {
    throw Object.assign(new Error('The connection broke in the middle of the answer'), { code: 'ECONNRESET' })
  }
}

/** Errors of HTTP/2 in the words of connections, which the rest of the program knows. */
function asConnectionError(error: unknown, { rstCode }: ClientHttp2Stream): unknown {
  if (rstCode === constants.NGHTTP2_HTTP_1_1_REQUIRED) return new OldProtocolError()
  const code = systemErrorCode(error)
  const isUnprocessed = rstCode === constants.NGHTTP2_REFUSED_STREAM || /GOAWAY|INVALID_SESSION/.test(code ?? '')
  if (isUnprocessed) return new StaleConnectionError(error)
  if (code !== undefined && !code.startsWith('ERR_HTTP2_')) return error
  const message = error instanceof Error ? error.message : String(error)
  return Object.assign(new Error(message, { cause: error }), { code: 'ECONNRESET' })
}

/** The server wants this request over HTTP/1.1. */
export class OldProtocolError extends Error {}
