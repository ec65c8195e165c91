import { setTimeout as delay } from 'node:timers/promises'

/** When and how long to wait before another try. All times in milliseconds. */
export interface RetryPolicy {
  /** Tries in all, the first included. */
  readonly tries: number
  /** Wait before the second try; doubled for each further one. */
  readonly baseMs: number
  /** The longest wait that this side chooses by itself. */
  readonly capMs: number
  /** No try starts later than this after the first; bounds what a server may ask for by `Retry-After`, too. */
  readonly totalMs: number
}

/** What a request is given unless asked otherwise: 5 tries, about 4 s of waiting, 2 minutes when the server asks for it. */
export const DEFAULT_RETRY: RetryPolicy = { tries: 5, baseMs: 250, capMs: 8_000, totalMs: 120_000 }

/** The parts of the world that waiting needs. */
export interface Waiting {
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>
  readonly random: () => number
  readonly now: () => number
}

/** Real time. */
export const realWaiting: Waiting = {
  sleep: (ms, signal) => delay(ms, undefined, signal === undefined ? {} : { signal }),
  random: Math.random,
  now: Date.now,
}

/** Statuses that may be gone when asked again (RFC 9110, RFC 6585, RFC 8470; 52x are a CDN's). */
export function isRetryableStatus(status: number): boolean {
  if (status === 408 || status === 425 || status === 429) return true
  return status >= 500 && status !== 501 && status !== 505 && status !== 511
}

/** Errors of a connection that asking again does not cure: untrusted certificates, no TLS at all, no such host. */
const PERMANENT =
  /^(ENOTFOUND|EPROTO|EPROXY|ERR_SSL_|ERR_TLS_|ERR_INVALID|ERR_UNESCAPED|HPE_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH)/

/** Tells whether a broken connection is worth another try, by its system error code. */
export function isRetryableFailure(code: string | undefined): boolean {
  return code === undefined || !PERMANENT.test(code)
}

/**
 * The wait before the next try: at least what the server asked for, else doubling with full jitter above a half.
 *
 * @param tries tries made so far, 1 or more
 */
export function waitMs(policy: RetryPolicy, tries: number, retryAfterMs: number | undefined, random: number): number {
  const ceiling = Math.min(policy.capMs, policy.baseMs * 2 ** (tries - 1))
  const own = ceiling / 2 + (ceiling / 2) * random
  return Math.max(own, retryAfterMs ?? 0)
}

/** Reads `Retry-After`: seconds or an HTTP date (RFC 9110 section 10.2.3); undefined when absent or neither. */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined
  const text = value.trim()
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs)
}
