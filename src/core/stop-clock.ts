/** Measures how long one thing after the other takes, by turns. */
export class StopClock<Name extends string> {
  readonly #spent: Map<Name, number>
  #current: Name | undefined
  #since = 0

  constructor(names: readonly Name[]) {
    this.#spent = new Map(names.map((name) => [name, 0]))
  }

  /** From now on the time is spent on this. */
  turn(name: Name): void {
    const now = performance.now()
    if (this.#current !== undefined)
      this.#spent.set(this.#current, (this.#spent.get(this.#current) ?? 0) + now - this.#since)
    this.#current = name
    this.#since = now
  }

  stop(): void {
    if (this.#current === undefined) return
    this.turn(this.#current)
    this.#current = undefined
  }

  /** Milliseconds by name. */
  entries(): [Name, number][] {
    return [...this.#spent]
  }
}
