import type { IncomingMessage, ServerResponse } from 'node:http'
import type { SecureContext } from 'node:tls'
import type { Environment } from '../core/http.ts'
import { secureContext, trustedAuthorities } from '../core/net/tls.ts'
import { passOn, refuse } from './answer.ts'
import { forward, type Attempt } from './forward.ts'
import { hasBody } from './headers.ts'
import { answerAboutRouter, OWN_PATHS } from './own-paths.ts'
import { HealthChecks } from './health-checks.ts'
import { KnownIds, readIdRequest, type IdRequest } from './prediction-ids.ts'
import { chooseUpstreams, makeState, type RouteState } from './state.ts'
import { RequestBody } from './request-body.ts'
import type { RouteTable } from './table.ts'
import type { Upstream, UpstreamWorld } from './upstream.ts'

/** A server was taken out, or is back. */
export interface HealthChange {
  readonly version: string
  readonly url: URL
  /** Why it is out; undefined when it is back. */
  readonly reason: string | undefined
  /** Servers of the version that are not out. */
  readonly serversLeft: number
  /** Versions with a share of which not all servers are out. */
  readonly versionsLeft: number
}

/** What a {@link Router} takes from outside. */
export interface RouterOptions {
  readonly now?: (() => number) | undefined
  /** 0 to below 1. */
  readonly random?: (() => number) | undefined
  /** Is told of servers that are taken out, and that are back. */
  readonly onHealth?: ((change: HealthChange) => void) | undefined
  /** Names authorities that servers of HTTPS are trusted by: `SSL_CERT_FILE`, `SSL_CERT_DIR`, `NODE_EXTRA_CA_CERTS`. */
  readonly env?: Environment | undefined
}

/** Ids that are remembered; each is some 100 bytes. */
const KNOWN_IDS = 100_000
/** Of a body that may be sent again, until there is an answer. */
const REPEATED_BYTES = 1 << 20
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

/** Sends requests to versions of a model by a table that can be replaced at any time, and checks their servers until it is closed. */
export class Router {
  readonly counts = { retries: 0, askedAround: 0, reloads: 0, failedReloads: 0 }
  isDraining = false
  #state: RouteState
  readonly #ids = new KnownIds(KNOWN_IDS)
  readonly #checks: HealthChecks
  readonly #random: () => number
  /** Read when it is first needed, and with each table. */
  #trusted: SecureContext | undefined
  readonly #world: UpstreamWorld & { readonly now: () => number }

  /** @throws BuildError FILE_UNREADABLE, CONFIG_INVALID when a server speaks HTTPS and a file of authorities is of no use */
  constructor(table: RouteTable, options: RouterOptions = {}) {
    const { now = Date.now, random = Math.random, onHealth = () => {}, env = process.env } = options
    this.#random = random
    this.#world = {
      now,
      onHealth: (upstream) => onHealth(this.#describe(upstream)),
      trust: () => (this.#trusted ??= secureContext({}, trustedAuthorities(env))),
    }
    this.#checks = new HealthChecks(random)
    this.#state = makeState(table, this.#world)
    this.#checks.watch(this.#state.upstreams, table.health)
  }

  get state(): RouteState {
    return this.#state
  }

  /** The time by which servers are left out. */
  now(): number {
    return this.#world.now()
  }

  /**
   * Takes another table, and reads authorities again: for requests from now on; those under way are not touched.
   *
   * @throws as the constructor does; then nothing changes
   */
  replace(table: RouteTable): void {
    const before = this.#trusted
    this.#trusted = undefined
    try {
      const state = makeState(table, this.#world, this.#state)
      if (before !== undefined && state.upstreams.some(({ url }) => url.protocol === 'https:')) this.#world.trust()
      this.#state = state
    } catch (error) {
      this.#trusted = before
      throw error
    }
    this.#checks.watch(this.#state.upstreams, table.health)
    this.counts.reloads++
  }

  /** Ends checks, and connections to servers with all that is under way on them. */
  async close(): Promise<void> {
    await this.#checks.close()
    for (const upstream of this.#state.upstreams) upstream.destroy()
  }

  /** Answers one request. Never throws. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Both are told of a client that went away; what matters of it is seen elsewhere.
    request.on('error', () => {})
    response.on('error', () => {})
    try {
      await this.#route(request, response)
    } catch (error) {
      // Node takes what it would not send: bytes in a path that are no ASCII.
      const reason = error instanceof Error ? error.message : String(error)
      refuse(request, response, { status: 400, detail: `The request cannot be sent on: ${reason}` })
    }
  }

  #describe({ version, url, health }: Upstream): HealthChange {
    const left = this.#state.sides.map(({ name, weight, upstreams }) => ({
      name,
      weight,
      count: upstreams.filter((upstream) => upstream.health.reason === undefined).length,
    }))
    return {
      version,
      url,
      reason: health.reason,
      serversLeft: left.find(({ name }) => name === version)?.count ?? 0,
      versionsLeft: left.filter(({ weight, count }) => weight > 0 && count > 0).length,
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.isDraining) response.shouldKeepAlive = false
    const path = pathOf(request.url ?? '')
    if (path === undefined)
      return refuse(request, response, { status: 400, detail: 'The request names no path of this server' })
    if (OWN_PATHS.has(path.replace(/\?.*$/, ''))) return answerAboutRouter(this, path, request, response)
    const state = this.#state
    const id = readIdRequest(request.method ?? 'GET', path, hasBody(request))
    const server = id === undefined ? undefined : this.#ids.get(id.id)
    const world = { now: this.now(), random: this.#random }
    const candidates = chooseUpstreams(state, request, id === undefined ? undefined : { text: id.id, server }, world)
    if (candidates === undefined) {
      const names = state.sides.map((side) => side.name).join(', ')
      return refuse(request, response, {
        status: 404,
        detail: `There is no such version of the model; there are ${names}`,
      })
    }
    const { upstreams, isFixed } = candidates
    const mayAskAround = id?.canAskAround === true
    // A version without a share can know an id as well: it was asked for by name.
    const others = mayAskAround && !isFixed ? state.upstreams.filter((upstream) => !upstreams.includes(upstream)) : []
    await this.#try([...upstreams, ...others], {
      request,
      response,
      path,
      body: new RequestBody(request, isIdempotent(request) ? REPEATED_BYTES : 0),
      id,
      mayAskAround,
      state,
      startedAt: world.now,
    })
  }

  async #try(upstreams: readonly Upstream[], exchange: Exchange): Promise<void> {
    const { request, response } = exchange
    const failures = new Set<string>()
    for (const [at, upstream] of upstreams.entries()) {
      upstream.inFlight++
      try {
        const failure = await this.#tryOne(upstream, at + 1 < upstreams.length, exchange)
        if (failure === undefined) return
        for (const one of failure) failures.add(one)
      } finally {
        upstream.inFlight--
      }
    }
    const detail = `No version could be reached: ${[...failures].join(', ')}`
    const [version, ...more] = new Set(upstreams.map((upstream) => upstream.version))
    refuse(request, response, { status: 503, detail, version: more.length === 0 ? version : undefined })
  }

  /** Undefined when the request is done with; else what is to be said if nobody else answers. */
  async #tryOne(upstream: Upstream, isMore: boolean, exchange: Exchange): Promise<readonly string[] | undefined> {
    const { request, response, mayAskAround } = exchange
    const { version } = upstream
    const attempt = await this.#send(upstream, exchange)
    switch (attempt.kind) {
      case 'abandoned':
        return undefined
      case 'unreached':
        if (isMore) this.counts.retries++
        return [`${version} (${attempt.reason})`]
      case 'broken': {
        const detail = `The version ${version} gave no answer, and the request may have been worked on: ${attempt.reason}`
        refuse(request, response, { status: 502, detail, version })
        return undefined
      }
      case 'answered':
        if (!mayAskAround || attempt.answer.statusCode !== 404 || !isMore) {
          await this.#answer(upstream, attempt.answer, exchange)
          return undefined
        }
        this.counts.askedAround++
        attempt.answer.on('error', () => {})
        attempt.answer.resume()
        return []
    }
  }

  /**
   * Sends it once; again on a new connection when its server closed the kept one before anything was sent, or just then and
   * sending it twice is as good as once. Of what was sent nobody knows whether it was worked on.
   *
   * @see RFC 9110, 9.2.2: "A proxy MUST NOT automatically retry non-idempotent requests"; RFC 9112, 9.3.1
   */
  async #send(upstream: Upstream, { request, response, path, body, state }: Exchange): Promise<Sent> {
    const tap = this.#tap(upstream.version, state, request, path)
    for (let isKept = true; ; isKept = false) {
      const attempt = await forward(upstream, request, response, { path, body, tap, isKept })
      if (attempt.kind === 'stale') continue
      if (attempt.kind === 'broken' && attempt.isKept && isIdempotent(request) && body.isWhole) continue
      if (attempt.kind === 'answered') {
        upstream.health.noteAnswer()
        body.forget()
      }
      if (attempt.kind === 'unreached') upstream.noteUnreached(this.now(), attempt.reason)
      if (attempt.kind === 'broken') upstream.broken++
      return attempt
    }
  }

  #tap(
    version: string,
    { mirror }: RouteState,
    request: IncomingMessage,
    path: string,
  ): ((chunk: Buffer) => void) | undefined {
    const isWork = (request.method === 'POST' || request.method === 'PUT') && !/\/cancel(?:\?|$)/.test(path)
    if (mirror === undefined || mirror.to === version || !isWork || !hasBody(request)) return undefined
    return this.#random() < mirror.share ? mirror.copies.copy(request, path) : undefined
  }

  async #answer(
    upstream: Upstream,
    answer: IncomingMessage,
    { request, response, id, startedAt }: Exchange,
  ): Promise<void> {
    const status = answer.statusCode ?? 502
    // Before it is passed on: the next request for the id may come before this one is done.
    if (id !== undefined && status < 400) this.#ids.set(id.id, upstream.key)
    try {
      await passOn(answer, response, upstream.version)
    } catch {
      // One of the two ends went away, and the other end was told by the same means.
      if (!answer.complete && !response.destroyed) response.destroy()
    }
    upstream.count(status, (this.now() - startedAt) / 1000)
    if (!request.complete) request.resume()
  }
}

/** One that is stale was sent again. */
type Sent = Exclude<Attempt, { readonly kind: 'stale' }>

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly path: string
  readonly body: RequestBody
  readonly id: IdRequest | undefined
  readonly mayAskAround: boolean
  readonly state: RouteState
  /** By the router's clock, in milliseconds. */
  readonly startedAt: number
}

/** Whether sending it twice is as good as once (RFC 9110, 9.2.2). */
function isIdempotent({ method = 'GET' }: IncomingMessage): boolean {
  return IDEMPOTENT.has(method)
}

/** Path and query of a request's line, which may be a whole address (RFC 9112, 3.2). */
function pathOf(target: string): string | undefined {
  if (target.startsWith('/')) return target
  if (!URL.canParse(target)) return undefined
  const { protocol, pathname, search } = new URL(target)
  return protocol === 'http:' || protocol === 'https:' ? `${pathname}${search}` : undefined
}
