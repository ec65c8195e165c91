import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../../src/core/package-root.ts'

/** What the second part of a full block that is stored takes: its header of three bits and two lengths, and a byte of content. */
export const STORED_REST_BYTES = 6

const WINDOW_BYTES = 32768

/**
 * Compresses one stream to raw deflate data in WebAssembly, on the calling thread.
 *
 * As small as zlib's level 3 within a hundredth, in half of its time, and the same bytes on every machine and every Node: they
 * depend on the content alone, not on how it was cut into chunks. `assembly/deflate.ts` is its inner part.
 *
 * @see RFC 1951
 */
export class QuickDeflater {
  readonly #wasm: Exports
  readonly #memory: Buffer
  readonly #input: number
  readonly #blockBytes: number
  #filled = 0
  #isFull = false

  constructor() {
    const { exports } = new WebAssembly.Instance(compiled(), { env: { abort } })
    this.#wasm = exports
    this.#memory = Buffer.from(exports.memory.buffer)
    this.#input = exports.inputAt()
    this.#blockBytes = exports.blockBytes()
    exports.start()
  }

  /** Content of every block but the last. */
  get blockBytes(): number {
    return this.#blockBytes
  }

  /** Takes content in pieces of any size; gives back blocks as they are complete, each valid until the next is asked for. */
  *write(chunk: Uint8Array): Generator<Uint8Array> {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + this.#blockBytes - this.#filled)
      this.#memory.set(part, this.#input + this.#filled)
      this.#filled += part.length
      at += part.length
      if (this.#filled === this.#blockBytes) yield this.#run(false)
    }
  }

  /** The last block, valid as those of `write`. */
  end(): Uint8Array {
    return this.#run(true)
  }

  /** Bits of the next byte, 0 to 7, before those of the next block. */
  pendingBits(): number {
    return this.#wasm.pendingBits()
  }

  /** The 32 KiB of content before the next block, zeros where there is less. Valid until the next block is asked for. */
  window(): Buffer {
    return this.#before(0)
  }

  /**
   * The content before what is a block of its own at the end of the last one: a full block that is stored needs two, of which the
   * second has {@link STORED_REST_BYTES}. Valid as `window`; undefined after every other block.
   */
  windowOfRest(): Buffer | undefined {
    return this.#isFull && this.#wasm.wasStored() !== 0 ? this.#before(this.#blockBytes - 1) : undefined
  }

  #before(place: number): Buffer {
    const end = this.#input + place
    return this.#memory.subarray(end - WINDOW_BYTES, end)
  }

  #run(isLast: boolean): Uint8Array {
    const end = this.#wasm.run(this.#filled, isLast ? 1 : 0)
    this.#isFull = this.#filled === this.#blockBytes
    this.#filled = 0
    return this.#memory.subarray(this.#wasm.outputAt(), end)
  }
}

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer }
  start(): void
  inputAt(): number
  blockBytes(): number
  outputAt(): number
  run(bytes: number, isLast: 0 | 1): number
  pendingBits(): number
  wasStored(): 0 | 1
}

/** The part of the JavaScript interface that is used; the types of Node 20 do not have it. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: Exports }
}

let known: object | undefined

/** Compiled once for each thread, when something is first compressed, in a fraction of a millisecond. */
function compiled(): object {
  known ??= new WebAssembly.Module(readFileSync(join(packageRoot(), 'dist/layers/deflate/deflate.wasm')))
  return known
}

function abort(): never {
  throw new TypeError('The encoder called abort')
}
