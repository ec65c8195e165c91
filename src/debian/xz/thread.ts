/* oxlint-disable unicorn/require-post-message-target-origin -- a thread has no origin; the rule is for windows */
import { parentPort } from 'node:worker_threads'
import { XzDecoder } from './decoder.ts'
import type { FromXzThread, ToXzThread } from './messages.ts'

const INPUT_BYTES = 1 << 16

/**
 * The program of a decompressing thread. It asks for input when it has none, and writes output into memory that it was given,
 * so neither side piles up bytes.
 */
class XzThread {
  readonly #answer: (message: FromXzThread, transfer?: ArrayBuffer[]) => void
  readonly #decoder = new XzDecoder()
  readonly #memory: ArrayBuffer[] = []
  #state: 'idle' | 'running' | 'waits for input' = 'idle'
  /** Output that found no memory yet. */
  #rest: Uint8Array = new Uint8Array(0)
  #input: Uint8Array | undefined
  #inputMemory = new ArrayBuffer(INPUT_BYTES)

  constructor(answer: (message: FromXzThread, transfer?: ArrayBuffer[]) => void) {
    this.#answer = answer
  }

  take(message: ToXzThread): void {
    switch (message.type) {
      case 'start':
        this.#decoder.start()
        this.#rest = new Uint8Array(0)
        this.#input = undefined
        this.#state = 'running'
        break
      case 'memory':
        this.#memory.push(message.memory)
        break
      case 'input':
        this.#input = message.bytes
        this.#inputMemory = message.bytes.buffer
        if (this.#state === 'waits for input') this.#state = 'running'
        break
      case 'end':
        this.#inputMemory = message.memory
        if (this.#state === 'idle') return
        this.#decoder.end()
        this.#state = 'running'
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
      } else if (this.#input !== undefined) {
        const taken = this.#decoder.write(this.#input)
        this.#input = taken < this.#input.length ? this.#input.subarray(taken) : undefined
      } else {
        this.#state = 'waits for input'
        return this.#answer({ type: 'need', memory: this.#inputMemory }, [this.#inputMemory])
      }
    }
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
