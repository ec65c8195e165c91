/** What a check of a server said. */
export type Verdict =
  | { readonly kind: 'well' }
  /** It answered that it takes no work, or cannot be reached. */
  | { readonly kind: 'ill'; readonly reason: string }
  /** It may just be slow. */
  | { readonly kind: 'late'; readonly reason: string }

const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 30_000
/** So many checks in a row without an answer in time take a server out. */
const LATE_CHECKS = 2

/** Whether a server should get requests that may go elsewhere: by what checks of it said, and by what became of requests. */
export class Health {
  readonly checks = { passed: 0, failed: 0 }
  readonly #onChange: () => void
  /** What the last check had against it. */
  #illness: string | undefined
  #lateChecks = 0
  /** Why the last request could not be sent. */
  #refusal: string | undefined
  #refusals = 0
  #pausedUntil = 0

  /** @param onChange  is told when there is a {@link reason}, and when there is none any more */
  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  /** Why it is out; undefined when nothing is known against it. */
  get reason(): string | undefined {
    return this.#illness ?? this.#refusal
  }

  /** Whether requests that may go elsewhere should. One that only could not be reached is tried again after a while. */
  isOut(now: number): boolean {
    return this.#illness !== undefined || now < this.#pausedUntil
  }

  /** A request could not be sent. Nothing more is for a while, longer each time; many at once count as one. */
  noteUnreached(now: number, reason: string): void {
    if (now < this.#pausedUntil) return
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(this.#refusals++, 10), LONGEST_PAUSE_MS)
    this.#change(() => {
      this.#refusal = reason
      this.#pausedUntil = now + pause
    })
  }

  /** It answered a request, whatever it said. */
  noteAnswer(): void {
    if (this.#refusal !== undefined) this.#change(() => this.#forgetRefusals())
  }

  noteCheck(verdict: Verdict): void {
    this.checks[verdict.kind === 'well' ? 'passed' : 'failed']++
    this.#lateChecks = verdict.kind === 'late' ? this.#lateChecks + 1 : 0
    if (verdict.kind === 'late' && this.#lateChecks < LATE_CHECKS) return
    this.#change(() => {
      this.#illness = verdict.kind === 'well' ? undefined : verdict.reason
      if (verdict.kind === 'well') this.#forgetRefusals()
    })
  }

  /** There are no more checks, so that what they said may no longer hold. */
  forgetChecks(): void {
    this.#lateChecks = 0
    this.#change(() => (this.#illness = undefined))
  }

  #forgetRefusals(): void {
    this.#refusal = undefined
    this.#refusals = 0
    this.#pausedUntil = 0
  }

  #change(change: () => void): void {
    const wasOut = this.reason !== undefined
    change()
    if (wasOut !== (this.reason !== undefined)) this.#onChange()
  }
}
