import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { Readable } from 'node:stream'
import nodeFetch from 'node-fetch'
import { BuildError } from './errors.ts'
import { collect, type Open } from './bytes.ts'

/** One request. `url` may hold no credentials; they go into `headers`. */
export interface HttpRequest {
  readonly method?: string | undefined
  readonly url: string
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Bytes to send; a function is opened again for each try. */
  readonly body?: Uint8Array | string | Open | undefined
  readonly signal?: AbortSignal | undefined
  /** `follow` (the default for GET and HEAD): up to 10 hops, credentials never cross an origin. */
  readonly redirect?: 'follow' | 'manual' | undefined
}

/** An answer whose body has not been read yet. Read it to its end, or call `discard`. */
export interface HttpResponse {
  readonly status: number
  /** The address that answered, after redirects. */
  readonly url: string
  /** A header's value by its name in any case, else undefined. */
  header(name: string): string | undefined
  readonly body: AsyncIterable<Uint8Array>
  /** The whole body. @throws BuildError NETWORK_FAILED when it is larger than the limit */
  bytes(limitBytes: number): Promise<Buffer>
  discard(): Promise<void>
}

/** Sends a request; any HTTP status is an answer, only a broken connection throws (BuildError NETWORK_FAILED). */
export type Http = (request: HttpRequest) => Promise<HttpResponse>

const MAX_REDIRECTS = 10

/** The one door to the network. Keep one for a whole operation: connections are kept alive. */
export function makeHttp(): Http {
  const agents = { http: new HttpAgent({ keepAlive: true }), https: new HttpsAgent({ keepAlive: true }) }
  return async (request) => {
    let url = request.url
    let headers = request.headers ?? {}
    for (let hop = 0; ; hop++) {
      const response = await send({ ...request, url, headers }, agents)
      const location = response.header('location')
      const follows = request.redirect !== 'manual' && isRedirect(response.status) && location !== undefined
      if (!follows) return response
      await response.discard()
      if (hop === MAX_REDIRECTS)
        throw new BuildError('NETWORK_FAILED', `More than ${MAX_REDIRECTS} redirects: ${maskUrl(request.url)}`)
      const next = new URL(location, url)
      if (next.origin !== new URL(url).origin) headers = withoutCredentials(headers)
      url = next.href
    }
  }
}

async function send(request: HttpRequest, agents: { http: HttpAgent; https: HttpsAgent }): Promise<HttpResponse> {
  const { body } = request
  try {
    const response = await nodeFetch(request.url, {
      method: request.method ?? 'GET',
      headers: { ...request.headers },
      redirect: 'manual',
      agent: (url) => (url.protocol === 'http:' ? agents.http : agents.https),
      ...(body === undefined ? {} : { body: sendable(body) }),
      // node-fetch declares its own AbortSignal type; the platform's fits at run time.
      ...(request.signal === undefined ? {} : { signal: request.signal as never }),
    })
    const stream = (response.body ?? Readable.from([])) as AsyncIterable<Uint8Array> & Readable
    return {
      status: response.status,
      url: response.url,
      header: (name) => response.headers.get(name) ?? undefined,
      body: stream,
      bytes: (limitBytes) => collect(stream, limitBytes),
      discard: async () => void stream.resume(),
    }
  } catch (error) {
    if (request.signal?.aborted) throw request.signal.reason
    throw new BuildError(
      'NETWORK_FAILED',
      `No answer from ${maskUrl(request.url)}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
}

function sendable(body: Uint8Array | string | Open): Readable | Buffer | string {
  if (typeof body === 'function') return Readable.from(body())
  return typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
}

function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !/^(authorization|cookie|proxy-authorization)$/i.test(name)),
  )
}

/** A URL fit for messages: user, password and query values are replaced by `***`. */
export function maskUrl(url: string): string {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    return url.replace(/\/\/[^/@]*@/, '//***@')
  }
  const user = parsed.username === '' && parsed.password === '' ? '' : '***@'
  const query = parsed.search === '' ? '' : '?***'
  return `${parsed.protocol}//${user}${parsed.host}${parsed.pathname}${query}`
}
