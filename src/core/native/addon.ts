import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { packageRoot } from '../package-root.ts'

/** What `kernels/addon.c` offers of SHA-256. Streams are told by the index of their state in memory that the caller keeps. */
export interface NativeSha256 {
  /** What this processor can do, best first; holes for what it cannot. */
  ways(): readonly (string | undefined)[]
  start(states: Uint8Array, index: number): void
  /**
   * Each of the first `count` streams takes its chunk, all at once. A stream occurs once, and there are {@link MOST_JOBS} at most.
   *
   * @param urgent  so many of the first are taken whole, the others as far as there is room beside them; all are when it is 0
   * @param left    is told how many bytes of each chunk were not taken
   */
  update(
    way: number,
    states: Uint8Array,
    indexes: readonly number[],
    chunks: readonly Uint8Array[],
    count: number,
    urgent: number,
    left: Uint32Array,
  ): void
  /** @param digest  32 bytes */
  finish(way: number, states: Uint8Array, index: number, digest: Uint8Array): void
}

/** What it offers of CRC-32, as of gzip and ZIP. */
export interface NativeCrc32 {
  /** Whether this processor has instructions for it; `crc32` throws where not. */
  hasCrc32(): boolean
  /** @param before  that of what comes before, 0 for nothing */
  crc32(bytes: Uint8Array, before: number): number
}

/** What it offers of raw deflate. An inflater is memory that the caller keeps; `kernels/inflate.h` says what its first words are. */
export interface NativeInflate {
  /** Bytes of an inflater; where its input begins, and how many bytes that holds; where its output begins, behind the window. */
  inflateLayout(): readonly [bytes: number, inputAt: number, inputBytes: number, outputAt: number]
  /** @param memory  begins at a multiple of eight bytes, as that of an `ArrayBuffer` does */
  inflateReset(memory: Uint8Array): void
  inflateStart(memory: Uint8Array): void
  inflateMakeRoom(memory: Uint8Array): void
  inflateSlide(memory: Uint8Array): void
  inflatePauseAfter(memory: Uint8Array, bytes: number): void
  inflateRun(memory: Uint8Array, isLast: boolean): number
}

type Addon = NativeSha256 & NativeCrc32 & NativeInflate

/** Bytes of a stream's state, as `kernels/sha256.h` lays it out. */
export const STATE_BYTES = 112

/** Streams that are hashed by one call. */
export const MOST_JOBS = 64

/** The addon, and which of its ways of SHA-256 is gone. */
export interface LoadedSha256 {
  readonly native: NativeSha256
  readonly way: number
  readonly name: string
  /** Streams that are hashed in the time of one, or a little more. */
  readonly lanes: number
}

/** SHA instructions are fast for one stream already, and have room for a second one. */
const LANES: Readonly<Record<string, number>> = { sha: 2, avx512: 8, avx2: 8 }

let addon: Addon | 'none' | undefined
let sha256: LoadedSha256 | 'none' | undefined
let problem: string | undefined

/**
 * The addon that hashes several streams at once, where it was built and this processor gains by it. It is loaded when it is first asked for.
 *
 * `LAYERWRIGHT_NATIVE=0` does without it.
 */
export function loadSha256(): LoadedSha256 | undefined {
  sha256 ??= bestOf(loadAddon()) ?? 'none'
  return sha256 === 'none' ? undefined : sha256
}

/** The same for CRC-32. */
export function loadCrc32(): NativeCrc32 | undefined {
  const native = loadAddon()
  return native?.hasCrc32() === true ? native : undefined
}

/** The same for raw deflate. */
export function loadInflate(): NativeInflate | undefined {
  return loadAddon()
}

/** Why the addon is there and cannot be used, if that is so. Ask {@link loadSha256} first. */
export function addonProblem(): string | undefined {
  return problem
}

function bestOf(native: NativeSha256 | undefined): LoadedSha256 | undefined {
  const names = native?.ways() ?? []
  const way = names.findIndex((name) => name !== undefined)
  const name = names[way]
  return native === undefined || name === undefined ? undefined : { native, way, name, lanes: LANES[name] ?? 1 }
}

function loadAddon(): Addon | undefined {
  addon ??= load() ?? 'none'
  return addon === 'none' ? undefined : addon
}

function load(): Addon | undefined {
  if (process.env['LAYERWRIGHT_NATIVE'] === '0') return undefined
  const file = join(packageRoot(), 'dist/native', `${process.platform}-${process.arch}.node`)
  if (!existsSync(file)) return undefined
  try {
    return createRequire(import.meta.url)(file) as Addon
  } catch (error) {
    // Built for another system, or where nothing may be run: Node does everything that this does.
    problem = error instanceof Error ? error.message : String(error)
    return undefined
  }
}
