import type { IncomingMessage, ServerResponse } from 'node:http'
import { passOn, refuse } from './answer.ts'
import { forward, type Attempt } from './forward.ts'
import { hasBody } from './headers.ts'
import { answerAboutRouter, OWN_PATHS } from './own-paths.ts'
import { KnownIds, readIdRequest, type IdRequest } from './prediction-ids.ts'
import { chooseSides, makeState, type RouteState, type Side } from './state.ts'
import type { RouteTable } from './table.ts'

/** What a {@link Router} takes from outside. */
export interface RouterOptions {
  readonly now?: (() => number) | undefined
  /** 0 to below 1. */
  readonly random?: (() => number) | undefined
}

/** Ids that are remembered; each is some 100 bytes. */
const KNOWN_IDS = 100_000

/** Sends requests to versions of a model by a table that can be replaced at any time. */
export class Router {
  readonly counts = { retries: 0, askedAround: 0, reloads: 0, failedReloads: 0 }
  isDraining = false
  #state: RouteState
  readonly #ids = new KnownIds(KNOWN_IDS)
  readonly #now: () => number
  readonly #random: () => number

  constructor(table: RouteTable, { now = Date.now, random = Math.random }: RouterOptions = {}) {
    this.#state = makeState(table)
    this.#now = now
    this.#random = random
  }

  get state(): RouteState {
    return this.#state
  }

  /** The time by which versions are left out. */
  now(): number {
    return this.#now()
  }

  /** Takes another table: for requests from now on; those under way are not touched. */
  replace(table: RouteTable): void {
    this.#state = makeState(table, this.#state)
    this.counts.reloads++
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

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.isDraining) response.shouldKeepAlive = false
    const path = pathOf(request.url ?? '')
    if (path === undefined)
      return refuse(request, response, { status: 400, detail: 'The request names no path of this server' })
    if (OWN_PATHS.has(path.replace(/\?.*$/, ''))) return answerAboutRouter(this, path, request, response)
    const state = this.#state
    const id = readIdRequest(request.method ?? 'GET', path, hasBody(request))
    const version = id === undefined ? undefined : this.#ids.get(id.id)
    const world = { now: this.#now(), random: this.#random }
    const candidates = chooseSides(state, request, id === undefined ? undefined : { text: id.id, version }, world)
    if (candidates === undefined) {
      const names = state.sides.map((side) => side.name).join(', ')
      return refuse(request, response, {
        status: 404,
        detail: `There is no such version of the model; there are ${names}`,
      })
    }
    const mayAskAround = id?.canAskAround === true && !candidates.isFixed
    // A version without a share can know an id as well: it was asked for by name.
    const others = mayAskAround ? state.sides.filter((side) => !candidates.sides.includes(side)) : []
    await this.#try([...candidates.sides, ...others], {
      request,
      response,
      path,
      id,
      mayAskAround,
      state,
      startedAt: world.now,
    })
  }

  async #try(sides: readonly Side[], exchange: Exchange): Promise<void> {
    const { request, response } = exchange
    const failures: string[] = []
    for (const [at, side] of sides.entries()) {
      side.upstream.inFlight++
      try {
        const failure = await this.#tryOne(side, at + 1 < sides.length, exchange)
        if (failure === undefined) return
        failures.push(...failure)
      } finally {
        side.upstream.inFlight--
      }
    }
    const detail = `No version could be reached: ${failures.join(', ')}`
    refuse(request, response, { status: 503, detail, version: sides.length === 1 ? sides[0]?.name : undefined })
  }

  /** Undefined when the request is done with; else what is to be said if nobody else answers. */
  async #tryOne(side: Side, isMore: boolean, exchange: Exchange): Promise<readonly string[] | undefined> {
    const { request, response, mayAskAround } = exchange
    const attempt = await this.#send(side, exchange)
    switch (attempt.kind) {
      case 'abandoned':
        return undefined
      case 'unreached':
        if (isMore) this.counts.retries++
        return [`${side.name} (${attempt.reason})`]
      case 'broken': {
        const detail = `The version ${side.name} gave no answer: ${attempt.reason}`
        refuse(request, response, { status: 502, detail, version: side.name })
        return undefined
      }
      case 'answered':
        if (!mayAskAround || attempt.answer.statusCode !== 404 || !isMore) {
          await this.#answer(side, attempt.answer, exchange)
          return undefined
        }
        this.counts.askedAround++
        attempt.answer.on('error', () => {})
        attempt.answer.resume()
        return []
    }
  }

  /** Sends it once; twice where a kept connection may have been closed just then, and sending again changes nothing. */
  async #send(side: Side, { request, response, path, state }: Exchange): Promise<Attempt> {
    const { upstream } = side
    const tap = this.#tap(side, state, request, path)
    const isSafe = (request.method === 'GET' || request.method === 'HEAD') && !hasBody(request)
    for (let tries = 1; ; tries++) {
      const attempt = await forward(upstream, request, response, { path, tap })
      if (attempt.kind === 'answered') upstream.noteAnswer()
      if (attempt.kind === 'unreached') upstream.noteUnreached(this.#now())
      if (attempt.kind === 'broken' && attempt.isKept && isSafe && tries < 3) continue
      if (attempt.kind === 'broken') upstream.broken++
      return attempt
    }
  }

  #tap(
    side: Side,
    { mirror }: RouteState,
    request: IncomingMessage,
    path: string,
  ): ((chunk: Buffer) => void) | undefined {
    const isWork = (request.method === 'POST' || request.method === 'PUT') && !/\/cancel(?:\?|$)/.test(path)
    if (mirror === undefined || mirror.side.name === side.name || !isWork || !hasBody(request)) return undefined
    return this.#random() < mirror.share ? mirror.copies.copy(request, path) : undefined
  }

  async #answer(side: Side, answer: IncomingMessage, { request, response, id, startedAt }: Exchange): Promise<void> {
    const status = answer.statusCode ?? 502
    // Before it is passed on: the next request for the id may come before this one is done.
    if (id !== undefined && status < 400) this.#ids.set(id.id, side.name)
    try {
      await passOn(answer, response, side.name)
    } catch {
      // One of the two ends went away, and the other end was told by the same means.
      if (!answer.complete && !response.destroyed) response.destroy()
    }
    side.upstream.count(status, (this.#now() - startedAt) / 1000)
    if (!request.complete) request.resume()
  }
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly path: string
  readonly id: IdRequest | undefined
  readonly mayAskAround: boolean
  readonly state: RouteState
  /** By the router's clock, in milliseconds. */
  readonly startedAt: number
}

/** Path and query of a request's line, which may be a whole address (RFC 9112, 3.2). */
function pathOf(target: string): string | undefined {
  if (target.startsWith('/')) return target
  if (!URL.canParse(target)) return undefined
  const { protocol, pathname, search } = new URL(target)
  return protocol === 'http:' || protocol === 'https:' ? `${pathname}${search}` : undefined
}
