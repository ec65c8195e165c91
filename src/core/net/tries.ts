import { BuildError, systemErrorCode } from '../errors.ts'
import type { Answer } from './exchange.ts'
import { SourceError } from './failure.ts'
import type { Pace } from './pace.ts'
import {
  isRetryableFailure,
  isRetryableStatus,
  parseRetryAfter,
  waitMs,
  type RetryPolicy,
  type Waiting,
} from './retry.ts'

/** What came of sending a request once. */
export type Outcome =
  | { readonly answer: Answer; readonly error?: never }
  | { readonly answer?: never; readonly error: unknown }

/** What {@link Tries} goes by. */
export interface TriesOptions {
  readonly policy: RetryPolicy
  readonly waiting: Waiting
  /** Of the origin that is asked. */
  readonly pace: Pace
  /** Whether the request may be sent again when it is not known what became of it. */
  readonly isRepeatable: boolean
}

/** One try more. */
export interface Again {
  /** To be waited before its turn is asked for. */
  readonly waitMs: number
  /** The server says that it is asked too often. */
  readonly isLimited: boolean
}

/** Refused so many times as often as a request is tried else, it has a limit of its own that others do not meet. */
const MOST_REFUSALS = 4

/** The tries of one request: counts them, tells the pace of its origin what came of each, and decides about the next. */
export class Tries {
  readonly #options: TriesOptions
  #startMs: number
  #taken: number
  #count = 0
  #failures = 0
  #refusals = 0

  constructor(options: TriesOptions) {
    this.#options = options
    this.#startMs = options.waiting.now()
    this.#taken = options.pace.taken
  }

  /** How often it was sent. */
  get count(): number {
    return this.#count
  }

  /** How often in vain; what was refused while the origin took other requests is forgotten. */
  get failures(): number {
    return this.#failures
  }

  /**
   * Takes note of a try.
   *
   * @param turn what {@link Pace.turn} gave for it
   * @param totalMs the next one does not begin later than this after the first
   * @returns undefined when there is no other
   */
  note(outcome: Outcome, turn: number, totalMs: number): Again | undefined {
    const { policy, waiting, pace, isRepeatable } = this.#options
    const status = outcome.answer?.status ?? 0
    const isLimited = status === 429
    if (isLimited) this.#refused(turn)
    else if (status !== 0 && !isRetryableStatus(status)) pace.took(turn)
    this.#count++
    this.#failures++
    const now = waiting.now()
    const retryAfterMs = parseRetryAfter(outcome.answer?.header('retry-after'), now)
    const ms = waitMs(policy, this.#failures, retryAfterMs, waiting.random())
    const hasTime = now - this.#startMs + ms <= totalMs
    // Nothing was done with what was refused: any method may be sent again then.
    const again =
      (isRepeatable || isLimited) &&
      (isLimited ? this.#mayBeRefused(retryAfterMs) : this.#failures < policy.tries) &&
      hasTime &&
      isWorthAnother(outcome, this.#failures)
    const isHeld = isRetryableStatus(status) && (retryAfterMs !== undefined || (isLimited && again))
    if (isHeld && hasTime) pace.holdUntil(now + ms)
    return again ? { waitMs: isHeld ? 0 : ms, isLimited } : undefined
  }

  #refused(turn: number): void {
    const { pace, waiting } = this.#options
    pace.refused(turn)
    this.#refusals++
    if (pace.taken === this.#taken) return
    // The origin takes what others send, so it takes this too when its turn comes.
    this.#taken = pace.taken
    this.#failures = 0
    this.#startMs = waiting.now()
  }

  /**
   * A server that says when to come back is believed as long as there is time; the limit of one that does not may be one of
   * hours, which no wait here helps.
   */
  #mayBeRefused(retryAfterMs: number | undefined): boolean {
    const { tries } = this.#options.policy
    if (retryAfterMs !== undefined) return tries > 1
    return this.#failures < tries && this.#refusals < tries * MOST_REFUSALS
  }
}

function isWorthAnother(outcome: Outcome, failures: number): boolean {
  if (outcome.answer !== undefined) return isRetryableStatus(outcome.answer.status)
  // Errors with a meaning of their own: a refused address, the source of a body.
  if (outcome.error instanceof BuildError || outcome.error instanceof SourceError) return false
  const code = systemErrorCode(outcome.error)
  // Nobody listens: a restarting server is back in a moment, a wrong address never is.
  if (code === 'ECONNREFUSED') return failures < 3
  return isRetryableFailure(code)
}
