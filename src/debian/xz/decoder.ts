import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemErrorCode } from '../../core/errors.ts'
import { packageRoot } from '../../core/package-root.ts'

/** What a turn of {@link XzDecoder.run} ended with. */
export type XzStatus = 'input' | 'output' | 'done'

/**
 * Decompresses .xz in WebAssembly, on the calling thread: any number of streams and blocks, LZMA2 alone, with its CRC-32 and
 * CRC-64 (other checks are passed over: what is read here has been proven by its SHA-256).
 *
 * On the 703 MB in 305 packages it took 8.2 s of CPU, liblzma's own `xz` 9.0 s, the `xz-decompress` package 13.1 s.
 * `assembly/xz.ts` is its inner part.
 *
 * @see The .xz File Format, version 1.2.1
 */
export class XzDecoder {
  readonly #wasm: Exports

  constructor() {
    compiled ??= compile()
    if (compiled === undefined) throw new TypeError('The xz decoder is not built: run `npm run build`')
    const { exports } = new WebAssembly.Instance(compiled, { env: { abort } })
    this.#wasm = exports
  }

  /** Begins another file; what is left of an earlier one is forgotten. */
  start(): void {
    this.#wasm.start()
  }

  /** Takes as much input as there is room for; gives back how much that was. */
  write(bytes: Uint8Array): number {
    const taken = bytes.subarray(0, this.#wasm.inputRoom())
    new Uint8Array(this.#wasm.memory.buffer).set(taken, this.#wasm.inputEnd())
    this.#wasm.added(taken.length, 0)
    return taken.length
  }

  /** Says that no more input comes. */
  end(): void {
    this.#wasm.added(0, 1)
  }

  /**
   * Decompresses until something is needed. What {@link output} gave is let go.
   *
   * @throws RangeError for data that is no .xz
   */
  run(): XzStatus {
    const status = this.#wasm.run()
    const known = STATUS[status]
    if (known !== undefined) return known
    throw new RangeError(`Damaged xz data (${PROBLEMS[status] ?? `status ${status}`})`)
  }

  /** What came out, after `output`: 2 MiB at most. Valid until the next call of anything. */
  output(): Uint8Array {
    const at = this.#wasm.outputAt()
    return new Uint8Array(this.#wasm.memory.buffer, at, this.#wasm.outputEnd() - at)
  }
}

const STATUS: readonly (XzStatus | undefined)[] = ['input', 'output', 'done']

const PROBLEMS: Readonly<Record<number, string>> = {
  3: 'it does not start as xz does',
  4: 'a damaged header',
  5: 'a filter other than LZMA2',
  6: 'a window of more than 256 MiB',
  7: 'compressed data is damaged',
  8: 'a checksum does not match',
  9: 'the index does not match',
  10: 'cut off',
}

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer }
  start(): void
  inputRoom(): number
  inputEnd(): number
  added(bytes: number, isLast: 0 | 1): void
  run(): number
  outputAt(): number
  outputEnd(): number
}

/** The part of the JavaScript interface that is used; the types of Node 20 do not have it. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: Exports }
}

/** Compiled once for each thread, when it is first used, in a fraction of a millisecond. */
let compiled: object | undefined

function compile(): object | undefined {
  if (typeof WebAssembly === 'undefined') return undefined
  try {
    return new WebAssembly.Module(readFileSync(join(packageRoot(), 'dist/src/debian/xz/xz.wasm')))
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

function abort(): never {
  throw new TypeError('The xz decoder called abort')
}
