import { collect, copied, type Open } from './bytes.ts'
import { BuildError } from './errors.ts'
import { isPublicAddress } from './net/addresses.ts'
import { exchangeBulk } from './net/bulk.ts'
import { isUnreached, systemLookup, type Lookup } from './net/connect.ts'
import { exchangeDecoded, exchangeRaw, StaleConnectionError, type Answer, type Exchange } from './net/exchange.ts'
import { asNetworkError, markingSource, maskUrl } from './net/failure.ts'
import { Pace } from './net/pace.ts'
import type { Environment } from './net/proxy.ts'
import { DEFAULT_RETRY, realWaiting, waitMs, type RetryPolicy, type Waiting } from './net/retry.ts'
import { Routes } from './net/routes.ts'
import type { SharedConnection } from './net/shared-connection.ts'
import type { TlsSettings } from './net/tls.ts'
import { Tries, type Outcome } from './net/tries.ts'
import { reportOnce, type Report } from './progress.ts'

export type { Environment } from './net/proxy.ts'
export type { RetryPolicy } from './net/retry.ts'
export type { TlsSettings } from './net/tls.ts'
export { isLoopbackHost } from './net/addresses.ts'
export { maskUrl, speaksNoTls } from './net/failure.ts'

/** One request. `url` may hold no credentials; they go into `headers`. */
export interface HttpRequest {
  readonly method?: string | undefined
  readonly url: string
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Bytes to send; a function is opened again for each try. Give `content-length` with a function when it is known. */
  readonly body?: Uint8Array | string | Open | undefined
  readonly signal?: AbortSignal | undefined
  /**
   * `follow` (the default for GET and HEAD): up to 10 hops, credentials never cross an origin. For other methods only
   * 307 and 308 are followed, with the body sent again.
   */
  readonly redirect?: 'follow' | 'manual' | undefined
  /** False: ask for the bytes as they are stored and do not undo any `Content-Encoding`. True unless given. */
  readonly decode?: boolean | undefined
  /**
   * Shares one HTTP/2 connection with the other requests of this kind where the server offers it: right for many small
   * answers, wrong for large ones. Needs `decode: false` and no body.
   */
  readonly isShared?: boolean | undefined
  /**
   * A GET whose answer is large and read piece by piece: the consumer of `body` is done with a piece when it asks for the
   * next. It then takes a connection of its own and a third of the CPU time. Only with `decode: false`.
   */
  readonly bulk?: boolean | undefined
  /**
   * Whether a broken connection or a status such as 503 leads to another try; true for GET, HEAD, PUT and DELETE. After a 429
   * everything is sent again: nothing was done with it.
   */
  readonly retry?: boolean | undefined
  /** The server that named this address (a token realm, an upload location); see {@link makeHttp} on private addresses. */
  readonly via?: string | undefined
}

/** An answer whose body has not been read yet. Read it to its end, or call `discard`. */
export interface HttpResponse {
  readonly status: number
  /** The address that answered, after redirects. */
  readonly url: string
  /** A header's value by its name in any case, else undefined. */
  header(name: string): string | undefined
  readonly body: AsyncIterable<Uint8Array>
  /**
   * The whole body. A GET that breaks off in the middle is asked again.
   *
   * @throws BuildError NETWORK_FAILED when it is larger than the limit
   */
  bytes(limitBytes: number): Promise<Buffer>
  discard(): Promise<void>
  /** How often the request was sent until this answer; 1 when absent. */
  readonly tries?: number | undefined
  /** The request asked to share a connection, and did: with so many that it takes at once. */
  readonly sharedBy?: number | undefined
}

/** Sends a request; any HTTP status is an answer, only a broken connection throws (BuildError NETWORK_FAILED,
 * HOST_NOT_FOUND, TLS_FAILED, CERTIFICATE_INVALID, or CREDENTIALS_INVALID where a client certificate is wanted). */
export type Http = (request: HttpRequest) => Promise<HttpResponse>

/** Settings of {@link makeHttp}; every one has a default. */
export interface HttpOptions {
  /** Proxies (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) and authorities (`SSL_CERT_FILE`, `SSL_CERT_DIR`, `NODE_EXTRA_CA_CERTS`). */
  readonly env?: Environment | undefined
  /** Fields left out keep their default; false sends everything once. */
  readonly retry?: Partial<RetryPolicy> | false | undefined
  readonly connectTimeoutMs?: number | undefined
  /**
   * How long to wait while nothing moves, at the first try (4 s unless given). Doubled for each further try, and
   * longer the more bytes a new try would have to send again, up to 2 minutes.
   */
  readonly patienceMs?: number | undefined
  /** Certificates for a host, by `host` or `host:port` as in its URL. */
  readonly tls?: ((host: string) => TlsSettings | undefined) | undefined
  /** Hosts (with or without port) that public servers may point at although their addresses are private. */
  readonly privateHosts?: readonly string[] | undefined
  readonly lookup?: Lookup | undefined
  readonly isPublicAddress?: ((address: string) => boolean) | undefined
  readonly waiting?: Partial<Waiting> | undefined
  /** Called whenever a host has answered 429 and is asked more slowly from then on. */
  readonly onLimited?: ((host: string) => void) | undefined
}

const MAX_REDIRECTS = 10
const MAX_PATIENCE_MS = 120_000
/** A connection that has carried much is given up later: a second for each 10 MB that would have to go again. */
const BYTES_PER_MS_AT_STAKE = 10_000
/**
 * A host that nobody has reached yet in this run is not tried again later than this: most likely it cannot be reached from here.
 * Where one waited for a name server or a connection, that was the whole of five tries before, 50 s and more.
 */
const FIRST_CONTACT_MS = 10_000
const USER_AGENT = 'layerwright'
const IDEMPOTENT = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])

/** Headers that may go to another origin; `authorization` and all others stay with the one they were meant for. */
const PORTABLE = /^(accept|accept-encoding|accept-language|range|user-agent|if-[a-z-]+)$/i

/**
 * The one door to the network. Keep one for a whole operation: connections are kept alive.
 *
 * A redirect, or a request with `via`, that leads from a public server to a private, loopback or link-local address is
 * refused (NETWORK_REFUSED). Judged is the address that is connected to, unless a proxy carries the request.
 */
export function makeHttp(options: HttpOptions = {}): Http {
  const env = options.env ?? process.env
  const waiting = { ...realWaiting, ...options.waiting }
  const policy = { ...DEFAULT_RETRY, ...(options.retry === false ? { tries: 1 } : options.retry) }
  const patienceMs = options.patienceMs ?? 4_000
  const reached = new Set<string>()
  const routes = new Routes({
    env,
    connectTimeoutMs: options.connectTimeoutMs ?? 15_000,
    lookup: options.lookup ?? systemLookup,
    isPublicAddress: options.isPublicAddress ?? isPublicAddress,
    privateHosts: [...(options.privateHosts ?? []), ...listOf(env['LAYERWRIGHT_PRIVATE_HOSTS'])],
    tls: options.tls ?? (() => undefined),
  })
  const door: Door = { waiting, policy, patienceMs, paces: new Map(), reached, routes, onLimited: options.onLimited }
  return (request) => sendFollowing(request, door)
}

/** Says why something takes long, once for a host: for {@link HttpOptions.onLimited}. */
export function tellsOfLimits(report: Report): (host: string) => void {
  return (host) =>
    reportOnce(report, {
      type: 'note',
      level: 'info',
      text: `${host} limits how often it may be asked: it is asked more slowly`,
    })
}

/** What one {@link makeHttp} holds. */
interface Door {
  readonly waiting: Waiting
  readonly policy: RetryPolicy
  readonly patienceMs: number
  /** By origin. */
  readonly paces: Map<string, Pace>
  /** Origins to which there was a connection once. */
  readonly reached: Set<string>
  readonly routes: Routes
  readonly onLimited: ((host: string) => void) | undefined
}

/** One request on its way, after redirects. */
interface Hop {
  readonly method: string
  readonly url: URL
  readonly via: URL | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly body: HttpRequest['body']
}

async function sendFollowing(request: HttpRequest, door: Door): Promise<HttpResponse> {
  const method = request.method ?? 'GET'
  const follows = request.redirect === 'follow' || (request.redirect !== 'manual' && /^(GET|HEAD)$/.test(method))
  let hop: Hop = {
    method,
    url: parseHttpUrl(request.url, request.url),
    via: request.via === undefined ? undefined : new URL(request.via),
    headers: request.headers ?? {},
    body: request.body,
  }
  for (let count = 0; ; count++) {
    const { answer, tries } = await sendTrying(request, hop, door)
    const location = answer.header('location')
    if (!follows || location === undefined || !isFollowed(answer.status, hop.method))
      return makeResponse(answer, tries, request, hop, door)
    answer.discard()
    if (count === MAX_REDIRECTS)
      throw new BuildError('NETWORK_REFUSED', `More than ${MAX_REDIRECTS} redirects: ${maskUrl(request.url)}`)
    hop = redirected(hop, location, answer.status)
  }
}

function redirected(hop: Hop, location: string, status: number): Hop {
  const url = parseHttpUrl(location, hop.url.href)
  if (hop.url.protocol === 'https:' && url.protocol === 'http:')
    throw new BuildError('NETWORK_REFUSED', `A redirect from https to plain http is not followed: ${maskUrl(url.href)}`)
  const sameOrigin = url.origin === hop.url.origin
  const asGet = status === 303 && hop.method !== 'HEAD'
  return {
    method: asGet ? 'GET' : hop.method,
    url,
    via: sameOrigin ? hop.via : hop.url,
    headers: sameOrigin ? hop.headers : portable(hop.headers, hop.body !== undefined),
    body: asGet ? undefined : hop.body,
  }
}

/** Sends until an answer is not worth another try. */
async function sendTrying(request: HttpRequest, hop: Hop, door: Door): Promise<{ answer: Answer; tries: number }> {
  const { waiting, policy, reached } = door
  const { signal } = request
  const { origin, host } = hop.url
  const pace = paceOf(origin, door)
  const tries = new Tries({ policy, waiting, pace, isRepeatable: request.retry ?? IDEMPOTENT.has(hop.method) })
  let stale = 0
  for (;;) {
    const turn = await pace.turn(signal)
    let outcome: Outcome
    try {
      outcome = { answer: await sendOnce(request, hop, door, tries.failures + 1) }
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      if (error instanceof StaleConnectionError && stale++ < 3) continue
      outcome = { error }
    }
    if (!isUnreached(outcome.error)) reached.add(origin)
    const totalMs = reached.has(origin) ? policy.totalMs : Math.min(policy.totalMs, FIRST_CONTACT_MS)
    const again = tries.note(outcome, turn, totalMs)
    if (again === undefined) {
      if (outcome.answer !== undefined) return { answer: outcome.answer, tries: tries.count }
      throw asNetworkError(outcome.error, hop.url.href, tries.count)
    }
    outcome.answer?.discard()
    if (again.isLimited) door.onLimited?.(host)
    if (again.waitMs > 0) await waiting.sleep(again.waitMs, signal)
  }
}

async function sendOnce(request: HttpRequest, hop: Hop, door: Door, tries: number): Promise<Answer> {
  const { decode = true } = request
  const agent = await door.routes.agentFor(hop.url, hop.via)
  const base = {
    method: hop.method,
    url: hop.url,
    agent,
    signal: request.signal,
    patienceMs: (bytesAtStake: number) =>
      Math.min(MAX_PATIENCE_MS, door.patienceMs * 2 ** (tries - 1) + bytesAtStake / BYTES_PER_MS_AT_STAKE),
    headers: {
      'user-agent': USER_AGENT,
      accept: '*/*',
      ...(decode ? {} : { 'accept-encoding': 'identity' }),
      ...lowerCased(hop.headers),
    },
  } satisfies Omit<Exchange, 'body'>
  const { body } = hop
  if (request.isShared === true && !decode && body === undefined) {
    const shared = await door.routes.sharedFor(hop.url, hop.via)
    if (shared !== undefined) return sendShared(base, shared, hop, door)
  }
  if (request.bulk === true && hop.method === 'GET' && body === undefined && agent.connect.proxy === undefined)
    return exchangeBulk({ ...base, body }, agent.connect)
  if (typeof body !== 'function') {
    return decode ? exchangeDecoded({ ...base, body }) : exchangeRaw({ ...base, body })
  }
  return exchangeRaw({ ...base, body: markingSource(body) })
}

async function sendShared(
  exchange: Omit<Exchange, 'body'>,
  shared: SharedConnection,
  { url, via }: Hop,
  { routes }: Door,
): Promise<Answer> {
  const { exchangeShared, OldProtocolError } = await import('./net/shared-connection.ts')
  try {
    return await exchangeShared(exchange, shared)
  } catch (error) {
    if (!(error instanceof OldProtocolError)) throw error
    await routes.forbidShared(url, via)
    return exchangeRaw({ ...exchange, body: undefined })
  }
}

function makeResponse(answer: Answer, tries: number, request: HttpRequest, hop: Hop, door: Door): HttpResponse {
  return {
    status: answer.status,
    url: hop.url.href,
    tries,
    sharedBy: answer.sharedBy,
    header: answer.header,
    body: namingFailures(answer.body, hop.url.href, request.signal),
    bytes: (limitBytes) => readWhole(answer, tries, limitBytes, request, hop, door),
    discard: async () => answer.discard(),
  }
}

async function* namingFailures(
  body: AsyncIterable<Uint8Array>,
  url: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch (error) {
    if (signal?.aborted) throw signal.reason
    throw asNetworkError(error, url, 1)
  }
}

async function readWhole(
  answer: Answer,
  tries: number,
  limitBytes: number,
  request: HttpRequest,
  hop: Hop,
  door: Door,
): Promise<Buffer> {
  try {
    return await collect(request.bulk === true ? copied(answer.body) : answer.body, limitBytes)
  } catch (error) {
    if (request.signal?.aborted) throw request.signal.reason
    const url = maskUrl(hop.url.href)
    if (error instanceof RangeError)
      throw new BuildError('NETWORK_FAILED', `The answer is larger than ${limitBytes} bytes: ${url}`, { cause: error })
    const failure = asNetworkError(error, hop.url.href, tries)
    if (hop.method !== 'GET' || request.retry === false || tries >= door.policy.tries) throw failure
    await door.waiting.sleep(waitMs(door.policy, tries, undefined, door.waiting.random()), request.signal)
    const policy = { ...door.policy, tries: door.policy.tries - tries }
    const next = await sendFollowing(request, { ...door, policy })
    if (next.status === answer.status) return next.bytes(limitBytes)
    await next.discard()
    throw failure
  }
}

function paceOf(origin: string, { paces, waiting }: Door): Pace {
  let pace = paces.get(origin)
  if (pace === undefined) {
    pace = new Pace(waiting)
    paces.set(origin, pace)
  }
  return pace
}

function parseHttpUrl(text: string, base: string): URL {
  const url = URL.canParse(text, base) ? new URL(text, base) : undefined
  if (url === undefined) throw new BuildError('NETWORK_REFUSED', `Not a URL: \`${maskUrl(text)}\``)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new BuildError('NETWORK_REFUSED', `Only http and https are followed: ${maskUrl(url.href)}`)
  url.username = ''
  url.password = ''
  return url
}

function isFollowed(status: number, method: string): boolean {
  if (status === 307 || status === 308) return true
  return (method === 'GET' || method === 'HEAD') && (status === 301 || status === 302 || status === 303)
}

function portable(headers: Readonly<Record<string, string>>, hasBody: boolean): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => PORTABLE.test(name) || (hasBody && /^content-/i.test(name))),
  )
}

function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

function listOf(text: string | undefined): string[] {
  return (text ?? '').split(/[\s,]+/).filter((entry) => entry !== '')
}
