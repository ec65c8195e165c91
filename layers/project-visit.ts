import { setImmediate } from 'node:timers/promises'

/** Entries that are looked at in a row, and the milliseconds in which that is quick. */
export const SLICE = 64
const OPEN_FILES = 16

interface Folder {
  readonly names: readonly string[]
}

/**
 * Does something with each entry that is wanted: one after the other as long as that is quick, without a promise for each; on a
 * slow disk, some at once are quicker. No more is waiting than is being done, however many entries there are.
 *
 * @param visitor  for a folder, what is done with its entry at a place; what it gives back is done beside others
 */
export async function visitEntries<F extends Folder>(
  folders: readonly F[],
  isWanted: (folder: F, n: number) => boolean,
  visitor: (folder: F) => (n: number, name: string, isQuick: boolean) => (() => Promise<void>) | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const beside = new Beside(OPEN_FILES)
  const pace = new Pace()
  let [count, began] = [0, performance.now()]
  try {
    for (const folder of folders) {
      const visit = visitor(folder)
      for (const [n, name] of folder.names.entries()) {
        if (!isWanted(folder, n)) continue
        const later = visit(n, name, pace.isQuick)
        if (later !== undefined) {
          const startedAt = performance.now()
          await beside.start(later)
          began += performance.now() - startedAt
        }
        if (++count % SLICE !== 0) continue
        signal?.throwIfAborted()
        pace.note(performance.now() - began)
        // Others have their turn.
        await setImmediate()
        began = performance.now()
      }
    }
  } finally {
    await beside.settled()
  }
  beside.throwIfFailed()
}

/** A slow disk is looked at as one for so many slices at most before it is tried again. */
const MOST_SLOW_SLICES = 64

/**
 * Whether entries are done one after the other. A slice that takes long may be a slow disk's, or have waited for a processor: the
 * next ones are done beside each other, each time it happens twice as many, and then it is tried again.
 */
class Pace {
  #slow = 0
  #next = 1

  get isQuick(): boolean {
    return this.#slow === 0
  }

  /** Hears how long a slice took. */
  note(ms: number): void {
    if (this.#slow > 0) this.#slow--
    else if (ms < SLICE) this.#next = 1
    else {
      this.#slow = this.#next
      this.#next = Math.min(this.#next * 2, MOST_SLOW_SLICES)
    }
  }
}

/** Work that is done beside a loop, so much at a time; the loop waits for a place. */
class Beside {
  readonly #most: number
  readonly #running = new Set<Promise<void>>()
  #failure: { readonly error: unknown } | undefined
  #wake = (): void => {}

  constructor(most: number) {
    this.#most = most
  }

  /** Starts work when there is a place for it. @throws what work before it has failed with */
  async start(work: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#most) await new Promise<void>((resolve) => (this.#wake = resolve))
    this.throwIfFailed()
    const running = this.#follow(work).finally(() => {
      this.#running.delete(running)
      this.#wake()
    })
    this.#running.add(running)
  }

  async #follow(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#failure ??= { error }
    }
  }

  /** Waits for all that was started. */
  async settled(): Promise<void> {
    await Promise.all(this.#running)
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}
