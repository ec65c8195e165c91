/* oxlint-disable unicorn/require-post-message-target-origin -- a thread has no origin; the rule is for windows */
import { parentPort } from 'node:worker_threads'
import { XzDecoder } from './decoder.ts'
import type { FromXzThread, ToXzThread } from './messages.ts'

/** Input that may be under way: what was asked for comes while what came is decompressed. */
const INPUTS = 2
const INPUT_BYTES = 1 << 17

/**
 * The program of a decompressing thread. It asks for input in memory of its own and writes output into memory that it was given,
 * so neither side piles up bytes.
 */
class XzThread {
  readonly #answer: (message: FromXzThread, transfer?: ArrayBuffer[]) => void
  readonly #decoder = new XzDecoder()
  readonly #memory: ArrayBuffer[] = []
  #state: 'idle' | 'running' | 'waits for input' = 'idle'
  /** Output that found no memory yet. */
  #rest: Uint8Array = new Uint8Array(0)
  /** Input that came and was not taken yet, and memory in which more is asked for. */
  readonly #inputs: Uint8Array<ArrayBuffer>[] = []
  readonly #inputMemory = Array.from({ length: INPUTS }, () => new ArrayBuffer(INPUT_BYTES))
  #taken = 0
  #hasAll = false

  constructor(answer: (message: FromXzThread, transfer?: ArrayBuffer[]) => void) {
    this.#answer = answer
  }

  take(message: ToXzThread): void {
    switch (message.type) {
      case 'start':
        this.#decoder.start()
        this.#rest = new Uint8Array(0)
        this.#inputMemory.push(...this.#inputs.splice(0).map(({ buffer }) => buffer))
        this.#taken = 0
        this.#hasAll = false
        this.#state = 'running'
        for (const memory of this.#inputMemory.splice(0)) this.#ask(memory)
        break
      case 'memory':
        this.#memory.push(message.memory)
        break
      case 'input':
        this.#inputs.push(message.bytes)
        if (this.#state === 'waits for input') this.#state = 'running'
        break
      case 'end':
        this.#inputMemory.push(message.memory)
        this.#hasAll = true
        if (this.#state === 'waits for input') this.#state = 'running'
    }
    if (this.#state !== 'running') return
    try {
      this.#run()
    } catch (error) {
      this.#state = 'idle'
      this.#answer({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
    }
  }

  #run(): void {
    for (;;) {
      if (!this.#sendRest()) return
      const status = this.#decoder.run()
      if (status === 'output') this.#rest = this.#decoder.output()
      else if (status === 'done') {
        this.#state = 'idle'
        return this.#answer({ type: 'done' })
      } else if (!this.#feed()) {
        this.#state = 'waits for input'
        return
      }
    }
  }

  /** Gives the decoder what it can take now; tells whether there was anything. */
  #feed(): boolean {
    const [input] = this.#inputs
    if (input === undefined) {
      if (this.#hasAll) this.#decoder.end()
      return this.#hasAll
    }
    this.#taken += this.#decoder.write(input.subarray(this.#taken))
    if (this.#taken < input.length) return true
    this.#taken = 0
    this.#inputs.shift()
    this.#ask(input.buffer)
    return true
  }

  #ask(memory: ArrayBuffer): void {
    this.#answer({ type: 'need', memory }, [memory])
  }

  /** Whether all of it was sent. */
  #sendRest(): boolean {
    while (this.#rest.length > 0) {
      const memory = this.#memory.pop()
      if (memory === undefined) return false
      const bytes = new Uint8Array(memory, 0, Math.min(memory.byteLength, this.#rest.length))
      bytes.set(this.#rest.subarray(0, bytes.length))
      this.#rest = this.#rest.subarray(bytes.length)
      this.#answer({ type: 'chunk', bytes }, [memory])
    }
    return true
  }
}

const port = parentPort
if (port !== null) {
  const thread = new XzThread((message, transfer) => port.postMessage(message, transfer))
  port.on('message', (message: ToXzThread) => thread.take(message))
}
