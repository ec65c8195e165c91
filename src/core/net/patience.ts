import { timeoutError } from './connect.ts'

/** Ends a wait in which nothing moves. */
export class Patience {
  /** Rejects when the wait was too long; never resolves. */
  readonly over: Promise<never>
  #ms: number
  #what: string
  /** Start of the present wait, by a clock that nobody sets; undefined while nothing is waited for. */
  #since: number | undefined = performance.now()
  #timer: NodeJS.Timeout
  #fail: (error: Error) => void = () => {}

  constructor(ms: number, what: string) {
    this.#ms = ms
    this.#what = what
    this.over = new Promise((_, reject) => (this.#fail = reject))
    // Raced by whoever waits; nobody may be waiting when it is over.
    this.over.catch(() => {})
    this.#timer = setTimeout(() => this.#check(), ms).unref()
  }

  /** Something moved, or a new wait begins. */
  renew(ms: number = this.#ms, what: string = this.#what): void {
    this.#ms = ms
    this.#what = what
    this.#since = performance.now()
  }

  /** This side is at work; the other side's silence does not count. */
  pause(): void {
    this.#since = undefined
  }

  end(): void {
    clearTimeout(this.#timer)
  }

  #check(): void {
    const left = this.#since === undefined ? this.#ms : this.#since + this.#ms - performance.now()
    if (left > 0) this.#timer = setTimeout(() => this.#check(), left).unref()
    else this.#fail(timeoutError(this.#what))
  }
}
