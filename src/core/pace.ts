/** Too slow is what is waited for longer than this, and for more than a tenth of the time. */
const SLOW_MS = 50
const SLOW_SHARE = 0.1
/** So many pieces go another way before it is tried again; then twice as many. */
const FIRST_PAUSE = 32

/**
 * Whether a way keeps up with what is sent over it. One that does not is left for a while, and for longer each time: what
 * it costs to find out again stays small beside what is gained elsewhere.
 */
export class Pace {
  readonly #now: () => number
  #triedAt: number
  #waitedMs = 0
  #pause = 0
  #nextPause = FIRST_PAUSE

  /** @param now  milliseconds of a clock that only goes forward */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#triedAt = now()
  }

  /** Waits for the way, and counts that. */
  async wait(way: () => Promise<void>): Promise<void> {
    const askedAt = this.#now()
    await way()
    const now = this.#now()
    this.#waitedMs += now - askedAt
    if (this.#waitedMs < SLOW_MS || this.#waitedMs < (now - this.#triedAt) * SLOW_SHARE) return
    this.#pause = this.#nextPause
    this.#nextPause *= 2
    this.#waitedMs = 0
  }

  /** Asked once for each piece: whether it had better go another way. */
  isSlow(): boolean {
    if (this.#pause === 0) return false
    if (--this.#pause === 0) this.#triedAt = this.#now()
    return true
  }
}
