import { setTimeout as delay } from 'node:timers/promises'
import { askHealth } from './ask-health.ts'
import type { HealthSettings } from './table.ts'
import type { Upstream } from './upstream.ts'

/** Times between checks differ by so much of themselves: many routers that began together do not ask together. */
const JITTER = 0.2

interface Check {
  readonly settings: HealthSettings
  readonly stop: AbortController
  readonly done: Promise<void>
}

/** Checks servers in the background, each by itself and at once when it is new. */
export class HealthChecks {
  readonly #random: () => number
  readonly #checks = new Map<Upstream, Check>()

  /** @param random  0 to below 1 */
  constructor(random: () => number) {
    this.#random = random
  }

  /** Checks these from now on, and no others. */
  watch(upstreams: readonly Upstream[], settings: HealthSettings): void {
    const isWatched = settings.interval_seconds > 0
    for (const [upstream, check] of this.#checks) {
      if (isWatched && upstreams.includes(upstream) && isSame(check.settings, settings)) continue
      check.stop.abort()
      this.#checks.delete(upstream)
      if (!isWatched) upstream.health.forgetChecks()
    }
    if (!isWatched) return
    for (const upstream of upstreams) {
      if (this.#checks.has(upstream)) continue
      const stop = new AbortController()
      this.#checks.set(upstream, { settings, stop, done: this.#check(upstream, settings, stop.signal) })
    }
  }

  /** Ends all checks, those under way as well. */
  async close(): Promise<void> {
    const checks = [...this.#checks.values()]
    this.#checks.clear()
    for (const { stop } of checks) stop.abort()
    await Promise.all(checks.map(({ done }) => done))
  }

  async #check(upstream: Upstream, settings: HealthSettings, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const verdict = await askHealth(upstream, settings, signal)
      if (signal.aborted) return
      upstream.health.noteCheck(verdict)
      const seconds = settings.interval_seconds * (1 + JITTER * (this.#random() - 0.5))
      // Rejects when it is stopped.
      await delay(seconds * 1000, undefined, { signal }).catch(() => {})
    }
  }
}

function isSame(a: HealthSettings, b: HealthSettings): boolean {
  return a.path === b.path && a.interval_seconds === b.interval_seconds && a.timeout_seconds === b.timeout_seconds
}
