import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemErrorCode } from '../../src/core/errors.ts'
import { loadInflate, type NativeInflate } from '../../src/core/native/addon.ts'
import { packageRoot } from '../../src/core/package-root.ts'

/**
 * The inner part of an inflater of raw deflate data: fixed places in one memory for input, tables, the window and output.
 *
 * The host writes compressed bytes behind `inputEnd()` and says how much with `added`, calls `run`, and takes what lies between
 * `outputAt()` and `outputEnd()`.
 */
export interface InflateEngine {
  readonly memory: { readonly buffer: ArrayBuffer }
  start(): void
  makeRoom(): void
  added(bytes: number): void
  skip(bytes: number): void
  slide(): void
  pauseAfter(bytes: number): void
  run(isLast: 0 | 1): number
  inputAt(): number
  inputBytes(): number
  inputPosition(): number
  inputEnd(): number
  unusedBits(): number
  outputAt(): number
  outputEnd(): number
}

/** A way to inflate. */
export interface InflateWay {
  readonly name: 'addon' | 'WebAssembly'
  open(): InflateEngine
}

/**
 * The ways that are there, best first: none without a build, nor where neither addons nor WebAssembly may run. They differ in speed
 * alone.
 */
export function inflateWays(): readonly InflateWay[] {
  return (ways ??= [nativeWay(loadInflate()), wasmWay()].filter((way) => way !== undefined))
}

let ways: readonly InflateWay[] | undefined

/** Words of the addon's memory. @see `src/core/native/kernels/inflate.h` */
const WORD = { inputPosition: 0, inputEnd: 1, outputEnd: 2, unusedBits: 3 } as const
const WINDOW_BYTES = 1 << 15

function nativeWay(native: NativeInflate | undefined): InflateWay | undefined {
  if (native === undefined) return undefined
  const [bytes, inputAt, inputBytes, outputAt] = native.inflateLayout()
  const open = (): InflateEngine => {
    const memory = new Uint8Array(bytes)
    const words = new Uint32Array(memory.buffer, 0, 4)
    const windowAt = outputAt - WINDOW_BYTES
    const word = (at: number): number => words[at] ?? 0
    native.inflateReset(memory)
    return {
      memory,
      start: () => native.inflateStart(memory),
      makeRoom: () => native.inflateMakeRoom(memory),
      added: (count) => void (words[WORD.inputEnd] = word(WORD.inputEnd) + count),
      skip: (count) => void (words[WORD.inputPosition] = word(WORD.inputPosition) + count),
      slide: () => native.inflateSlide(memory),
      pauseAfter: (count) => native.inflatePauseAfter(memory, count),
      run: (isLast) => native.inflateRun(memory, isLast === 1),
      inputAt: () => inputAt,
      inputBytes: () => inputBytes,
      inputPosition: () => inputAt + word(WORD.inputPosition),
      inputEnd: () => inputAt + word(WORD.inputEnd),
      unusedBits: () => word(WORD.unusedBits),
      outputAt: () => outputAt,
      outputEnd: () => windowAt + word(WORD.outputEnd),
    }
  }
  return { name: 'addon', open }
}

/** The part of the JavaScript interface that is used; the types of Node 20 do not have it. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: InflateEngine }
}

/** Compiled once for each thread, in a fraction of a millisecond. */
function wasmWay(): InflateWay | undefined {
  if (typeof WebAssembly === 'undefined') return undefined
  try {
    const compiled = new WebAssembly.Module(readFileSync(join(packageRoot(), 'dist/layers/inflate/inflate.wasm')))
    return { name: 'WebAssembly', open: () => new WebAssembly.Instance(compiled, { env: { abort } }).exports }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

function abort(): never {
  throw new TypeError('The inflater called abort')
}
