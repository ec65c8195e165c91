import * as http from 'node:http'
import * as https from 'node:https'
import type { SecureContext } from 'node:tls'
import type { Headers } from './headers.ts'
import { Health } from './health.ts'

/**
 * So long a connection is kept while nothing moves on it: shorter than servers do, so that none is closed under a request. Of
 * those that models are served by gunicorn gives up first, after 2 s; uvicorn and Node do after 5.
 */
const IDLE_MS = 1000
/** A server that says that it keeps connections for less closes them too close to that. */
const LEAST_HINT_SECONDS = 2

/** Upper ends of the classes of answer times, in seconds. */
export const SECONDS_BOUNDS = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300] as const

/** What tells a server from all others, of other versions as well. */
export function keyOf(version: string, url: URL): string {
  return `${version} ${url.href}`
}

/** What an {@link Upstream} takes from outside. */
export interface UpstreamWorld {
  /** Is told when it is out, and when it is back. */
  readonly onHealth: (upstream: Upstream) => void
  /** Whom servers of HTTPS are trusted by; asked for these alone, when they are made (may throw then) and for each request. */
  readonly trust: () => SecureContext
}

/** One server of a version: its connections, its health, and what was counted. It outlives a table that keeps its address. */
export class Upstream {
  /** The version's name. */
  readonly version: string
  readonly url: URL
  readonly health: Health
  readonly answers = new Map<number, number>()
  /** One for each of {@link SECONDS_BOUNDS}, and one for the rest. */
  readonly seconds: number[] = Array.from({ length: SECONDS_BOUNDS.length + 1 }, () => 0)
  readonly mirrored = { sent: 0, failed: 0, skipped: 0 }
  secondsSum = 0
  unreached = 0
  broken = 0
  inFlight = 0
  readonly #agent: http.Agent
  /** Undefined for a server of HTTP. */
  readonly #trust: (() => SecureContext) | undefined

  constructor(version: string, url: URL, { onHealth, trust }: UpstreamWorld) {
    this.version = version
    this.url = url
    this.health = new Health(() => onHealth(this))
    this.#trust = url.protocol === 'https:' ? trust : undefined
    this.#trust?.()
    const { Agent } = this.#trust === undefined ? http : https
    this.#agent = new Agent({ keepAlive: true, timeout: IDLE_MS, maxFreeSockets: 64 })
  }

  /** See {@link keyOf}. */
  get key(): string {
    return keyOf(this.version, this.url)
  }

  /**
   * Begins a request. Nothing is sent before something is written or `flushHeaders` is called.
   *
   * @param isKept  false for a connection of its own
   */
  request(method: string, path: string, headers: Headers, isKept = true): http.ClientRequest {
    const { protocol, hostname, port, pathname } = this.url
    const secure = this.#trust === undefined ? {} : { secureContext: this.#trust() }
    const { request } = this.#trust === undefined ? http : https
    const outgoing = request({
      ...secure,
      agent: isKept ? this.#agent : false,
      protocol,
      hostname: hostname.replaceAll(/^\[|\]$/g, ''),
      port,
      method,
      path: `${pathname.replace(/\/$/, '')}${path}`,
      headers,
      setHost: false,
    })
    outgoing.once('response', ({ headers: { 'keep-alive': hint } }) => {
      const [, seconds] = /\btimeout=(\d+)/i.exec(String(hint ?? '')) ?? []
      if (seconds !== undefined && Number(seconds) < LEAST_HINT_SECONDS) outgoing.shouldKeepAlive = false
    })
    return outgoing
  }

  noteUnreached(now: number, reason: string): void {
    this.unreached++
    this.health.noteUnreached(now, reason)
  }

  count(status: number, seconds: number): void {
    this.answers.set(status, (this.answers.get(status) ?? 0) + 1)
    const at = SECONDS_BOUNDS.findIndex((bound) => seconds <= bound)
    const bin = at === -1 ? SECONDS_BOUNDS.length : at
    this.seconds[bin] = (this.seconds[bin] ?? 0) + 1
    this.secondsSum += seconds
  }

  /** Closes connections at once, those with a request as well. */
  destroy(): void {
    this.#agent.destroy()
  }
}
