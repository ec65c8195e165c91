import type { Waiting } from './retry.ts'

/** Between two requests to an origin that has refused one of a burst. */
const FIRST_INTERVAL_MS = 100
/** A limit of fewer than six requests a minute is one that `Retry-After` tells of. */
const MOST_INTERVAL_MS = 10_000
/** By so much requests follow each other more closely after each one that was taken. */
const RECOVERY = 0.9
/** Closer than this they need not be kept apart. */
const LEAST_INTERVAL_MS = 10

/**
 * How fast one origin is asked: as fast as its callers like until it answers 429, then one request after the other, so far
 * apart that it takes them. Whoever refuses one request refuses the next of everybody, so that all wait in one line.
 *
 * The distance is doubled by each refusal and shrinks with each request that is taken, as TCP finds out what a line carries.
 */
export class Pace {
  readonly #waiting: Waiting
  /** When the next in line may go, in milliseconds since the epoch. */
  #nextMs = 0
  #heldUntilMs = 0
  #intervalMs = 0
  /** Counts how often everybody was held back. */
  #round = 0
  #taken = 0

  constructor(waiting: Waiting) {
    this.#waiting = waiting
  }

  /** How many requests the origin has taken so far. */
  get taken(): number {
    return this.#taken
  }

  /** Waits in line. @returns what {@link took} and {@link refused} want to know of the request that goes now */
  async turn(signal?: AbortSignal): Promise<number> {
    for (;;) {
      const round = this.#round
      const nowMs = this.#waiting.now()
      const turnMs = Math.max(this.#nextMs, nowMs)
      this.#nextMs = turnMs + this.#intervalMs
      if (turnMs > nowMs) await this.#waiting.sleep(turnMs - nowMs, signal)
      // Held back meanwhile: the line begins anew.
      if (round === this.#round) return round
    }
  }

  /** An answer that is no refusal. */
  took(turn: number): void {
    this.#taken++
    // What went off before the last refusal says nothing of the distance since.
    if (turn !== this.#round) return
    const shorter = this.#intervalMs * RECOVERY
    this.#intervalMs = shorter < LEAST_INTERVAL_MS ? 0 : shorter
  }

  /** An answer that there were too many requests. Those that went off together are refused together, and count once. */
  refused(turn: number): void {
    if (turn !== this.#round) return
    this.#intervalMs = Math.min(MOST_INTERVAL_MS, Math.max(FIRST_INTERVAL_MS, this.#intervalMs * 2))
    this.#round++
  }

  /** Lets nobody go before a time, in milliseconds since the epoch. */
  holdUntil(timeMs: number): void {
    if (timeMs <= this.#heldUntilMs) return
    this.#heldUntilMs = timeMs
    // Turns that were given out for later are void.
    this.#nextMs = timeMs
    this.#round++
  }
}
