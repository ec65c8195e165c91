import { createRequire } from 'node:module'
import { SlabPool } from '../src/core/slabs.ts'

/**
 * Names the compressor in the keys of layers: other bytes would need another name.
 *
 * zstd's own level 3 in frames of 4 MiB, each by itself. The encoder is the same WebAssembly on every Node, so that a
 * layer's bytes depend on its content alone: Node's own zstd (22.15 and newer) is no faster (170-212 MB of tar per CPU
 * second on libtriton, this 177), and its bytes change with the version of zstd that a Node happens to hold.
 */
export const ZSTD_NAME = 'zstd-3-4M-foxglove-1.0.1'

const LEVEL = 3
const FRAME_BYTES = 4 * 2 ** 20
/** A thread compresses two layers at a time, now and then. */
const frameSlabs = new SlabPool(FRAME_BYTES, 2)

/** Compresses a stream by zstd on the calling thread. */
export interface ZstdWriter {
  /** Takes content in pieces of any size; gives back the frames that are complete. */
  write(chunk: Uint8Array): readonly Uint8Array[]
  /** The last frame. Call it once, last. */
  end(): readonly Uint8Array[]
}

/** @see RFC 8878, section 3: frames one after another are one content */
export async function openZstd(): Promise<ZstdWriter> {
  const zstd = await loadZstd()
  const frame = frameSlabs.take()
  let filled = 0
  let frames = 0
  const flush = (): Uint8Array => {
    const compressed = zstd.compress(frame.subarray(0, filled), LEVEL)
    filled = 0
    frames++
    return compressed
  }
  return {
    write: (chunk) => {
      const done: Uint8Array[] = []
      for (let at = 0; at < chunk.length;) {
        const part = chunk.subarray(at, at + FRAME_BYTES - filled)
        frame.set(part, filled)
        filled += part.length
        at += part.length
        if (filled === FRAME_BYTES) done.push(flush())
      }
      return done
    },
    end: () => {
      // No content at all is one empty frame.
      const last = filled > 0 || frames === 0 ? [flush()] : []
      frameSlabs.give(frame)
      return last
    },
  }
}

/** The part of the package that is used. */
interface WasmZstd {
  readonly isLoaded: Promise<void>
  compress(bytes: Uint8Array, level: number): Uint8Array
}

let loading: Promise<WasmZstd> | undefined

/** Loaded when it is first asked for: most builds need none of its 400 KB. */
function loadZstd(): Promise<WasmZstd> {
  loading ??= (async () => {
    const zstd = createRequire(import.meta.url)('@foxglove/wasm-zstd') as WasmZstd
    await zstd.isLoaded
    return zstd
  })()
  return loading
}
