/**
 * Gives a stream to two readers at once: to the caller, and to `sink`, which gets a copy of the same chunks and reads it to
 * its end. The slower one sets the pace, and the next chunk is asked for when both are done with the one before.
 *
 * When the stream fails, or the caller stops early, the sink's stream fails as well, so that it keeps nothing. What the sink
 * throws is thrown here.
 */
export async function* passThrough<Chunk>(
  stream: AsyncIterable<Chunk>,
  sink: (copy: AsyncIterable<Chunk>) => Promise<unknown>,
): AsyncGenerator<Chunk> {
  const channel = new Channel<Chunk>()
  let failure: { readonly error: unknown } | undefined
  const sinking = sink(channel.read()).then(
    () => channel.stop(),
    (error: unknown) => {
      failure ??= { error }
      channel.stop()
    },
  )
  let isWhole = false
  try {
    for await (const chunk of stream) {
      await channel.send(chunk)
      const failed = failure
      if (failed !== undefined) throw failed.error
      yield chunk
      await channel.taken()
    }
    channel.end()
    await sinking
    isWhole = true
  } finally {
    if (!isWhole) channel.fail(new Error('The stream was not read to its end'))
    await sinking
  }
  const failed = failure
  if (failed !== undefined) throw failed.error
}

/** A place for one chunk between a writer and a reader. */
class Channel<Chunk> {
  #chunk: { readonly value: Chunk } | undefined
  #end: { readonly error?: unknown } | undefined
  #isStopped = false
  #isAsking = false
  #wake: () => void = () => {}

  /** Resolves when there is room again, or nobody reads any more. */
  async send(value: Chunk): Promise<void> {
    while (this.#chunk !== undefined && !this.#isStopped) await this.#change()
    this.#chunk = { value }
    this.#signal()
  }

  /** Resolves when the reader asks for more, or nobody reads any more. */
  async taken(): Promise<void> {
    while (!(this.#isAsking && this.#chunk === undefined) && !this.#isStopped) await this.#change()
  }

  end(): void {
    this.#end ??= {}
    this.#signal()
  }

  fail(error: unknown): void {
    this.#end ??= { error }
    this.#signal()
  }

  stop(): void {
    this.#isStopped = true
    this.#signal()
  }

  async *read(): AsyncGenerator<Chunk> {
    this.#isAsking = true
    for (;;) {
      const chunk = this.#chunk
      if (chunk !== undefined) {
        this.#chunk = undefined
        this.#isAsking = false
        yield chunk.value
        this.#isAsking = true
        this.#signal()
      } else if (this.#end !== undefined) {
        if ('error' in this.#end) throw this.#end.error
        return
      } else await this.#change()
    }
  }

  #change(): Promise<void> {
    const earlier = this.#wake
    return new Promise((resolve) => {
      this.#wake = () => {
        earlier()
        resolve()
      }
    })
  }

  #signal(): void {
    const wake = this.#wake
    this.#wake = () => {}
    wake()
  }
}
