import * as http from 'node:http'
import * as https from 'node:https'
import type { Headers } from './headers.ts'

/** A length of time since which nothing moves on a kept connection; shorter than the servers', so that none is closed under a request. */
const IDLE_MS = 4000
/** So many requests in a row that cannot be sent take a version out. */
const FAILURES = 3
const FIRST_EJECTION_MS = 1000
const LONGEST_EJECTION_MS = 30_000

/** Upper ends of the classes of answer times, in seconds. */
export const SECONDS_BOUNDS = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300] as const

/** The server of a version: its connections, its health, and what was counted. It outlives a table that keeps its address. */
export class Upstream {
  readonly url: URL
  readonly answers = new Map<number, number>()
  /** One for each of {@link SECONDS_BOUNDS}, and one for the rest. */
  readonly seconds: number[] = Array.from({ length: SECONDS_BOUNDS.length + 1 }, () => 0)
  readonly mirrored = { sent: 0, failed: 0, skipped: 0 }
  secondsSum = 0
  unreached = 0
  broken = 0
  inFlight = 0
  readonly #agent: http.Agent
  #failures = 0
  #ejectedUntil = 0

  constructor(url: URL) {
    this.url = url
    const { Agent } = url.protocol === 'https:' ? https : http
    this.#agent = new Agent({ keepAlive: true, timeout: IDLE_MS, maxFreeSockets: 64 })
  }

  /** Begins a request. Nothing is sent before something is written or `flushHeaders` is called. */
  request(method: string, path: string, headers: Headers): http.ClientRequest {
    const { protocol, hostname, port, pathname } = this.url
    const { request } = protocol === 'https:' ? https : http
    return request({
      agent: this.#agent,
      protocol,
      hostname: hostname.replaceAll(/^\[|\]$/g, ''),
      port,
      method,
      path: `${pathname.replace(/\/$/, '')}${path}`,
      headers,
      setHost: false,
    })
  }

  /** Whether requests that may go elsewhere should: it could not be reached a while ago. */
  isEjected(now: number): boolean {
    return now < this.#ejectedUntil
  }

  /** A request could not be sent. After some in a row nothing more is sent for a while, longer each time. */
  noteUnreached(now: number): void {
    this.unreached++
    const over = ++this.#failures - FAILURES
    if (over >= 0) this.#ejectedUntil = now + Math.min(FIRST_EJECTION_MS * 2 ** Math.min(over, 10), LONGEST_EJECTION_MS)
  }

  noteAnswer(): void {
    this.#failures = 0
    this.#ejectedUntil = 0
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
