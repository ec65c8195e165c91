import { createRequire } from 'node:module'
import type { Outbox } from './outbox.ts'

/**
 * Names the compressor in the keys of layers: other bytes would need another name.
 *
 * zstd's own level 3 in frames of 2 MiB, each by itself (4 MiB: 1.6 % smaller over
 * torch's closure, and 10 MB more memory in each thread). The encoder is the same WebAssembly on every Node, so that a
 * layer's bytes depend on its content alone: Node's own zstd (22.15 and newer) is no faster (170-212 MB of tar per CPU
 * second on libtriton, this 177), and its bytes change with the version of zstd that a Node happens to hold.
 */
export const ZSTD_NAME = 'zstd-3-2M-foxglove-1.0.1'

const LEVEL = 3
const FRAME_BYTES = 2 * 2 ** 20

/** Compresses a stream by zstd on the calling thread. */
export interface ZstdWriter {
  /** Takes content in pieces of any size. */
  write(chunk: Uint8Array): void
  /** Puts out the last frame. Call it once, last. */
  end(): void
  /** Gives up, or does nothing after `end`. */
  close(): void
}

/**
 * @param made gets the frames that are complete
 * @see RFC 8878, section 3: frames one after another are one content
 */
export async function openZstd(made: Outbox): Promise<ZstdWriter> {
  const zstd = await loadZstd()
  const frame = zstd.takeFrame()
  let isOpen = true
  let filled = 0
  let frames = 0
  const flush = (): void => {
    made.add(zstd.compress(frame, filled))
    filled = 0
    frames++
  }
  const close = (): void => {
    if (isOpen) zstd.giveFrame(frame)
    isOpen = false
  }
  return {
    write: (chunk) => {
      // The frame may be another stream's by now.
      if (!isOpen) return
      for (let at = 0; at < chunk.length;) {
        const part = chunk.subarray(at, at + FRAME_BYTES - filled)
        zstd.fill(frame, filled, part)
        filled += part.length
        at += part.length
        if (filled === FRAME_BYTES) flush()
      }
    },
    end: () => {
      // No content at all is one empty frame.
      if (filled > 0 || frames === 0) flush()
      close()
    },
    close,
  }
}

/**
 * The encoder with its memory, in which frames are filled and compressed: between them and the memory that travels to
 * another thread nothing is allocated. Frames are addresses in it, since it moves when it grows.
 */
class ZstdHeap {
  readonly #wasm: WasmZstd
  readonly #malloc: WasmZstd['_malloc']
  readonly #compress: WasmZstd['_compress']
  readonly #outputBytes: number
  readonly #output: number
  readonly #free: number[] = []

  constructor(wasm: WasmZstd) {
    const { _malloc: malloc, _compress: compress, _compressBound: bound } = wasm
    this.#wasm = wasm
    this.#malloc = malloc
    this.#compress = compress
    this.#outputBytes = bound(FRAME_BYTES)
    this.#output = this.#allocate(this.#outputBytes)
  }

  takeFrame(): number {
    return this.#free.pop() ?? this.#allocate(FRAME_BYTES)
  }

  giveFrame(frame: number): void {
    this.#free.push(frame)
  }

  fill(frame: number, at: number, bytes: Uint8Array): void {
    this.#wasm.HEAPU8.set(bytes, frame + at)
  }

  /** The compressed frame; valid until the next call. */
  compress(frame: number, sizeBytes: number): Uint8Array {
    const size = this.#compress(this.#output, this.#outputBytes, frame, sizeBytes, LEVEL)
    if (size < 0) throw new Error('zstd could not compress a frame')
    return this.#wasm.HEAPU8.subarray(this.#output, this.#output + size)
  }

  #allocate(bytes: number): number {
    const at = this.#malloc(bytes)
    if (at === 0) throw new Error(`zstd has no memory for ${bytes} bytes`)
    return at
  }
}

/** The part of the package's inner module that is used: the outer one copies each frame into new memory. */
interface WasmZstd {
  /** Another one when it has grown. */
  readonly HEAPU8: Uint8Array
  readonly _malloc: (bytes: number) => number
  readonly _compressBound: (bytes: number) => number
  readonly _compress: (
    target: number,
    targetBytes: number,
    source: number,
    sourceBytes: number,
    level: number,
  ) => number
}

let loading: Promise<ZstdHeap> | undefined

/** Loaded when it is first asked for: most builds need none of its 400 KB. */
function loadZstd(): Promise<ZstdHeap> {
  loading ??= (async () => {
    const open = createRequire(import.meta.url)('@foxglove/wasm-zstd/dist/wasm-zstd.js') as () => Promise<WasmZstd>
    return new ZstdHeap(await open())
  })()
  return loading
}
