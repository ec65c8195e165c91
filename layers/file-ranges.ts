import { createHash } from 'node:crypto'
import type { Cache } from '../src/core/cache.ts'
import { BuildError } from '../src/core/errors.ts'

/** A part of a file by its hash, so that it is proven without the whole. */
export interface FilePart {
  readonly offset: number
  readonly sizeBytes: number
  /** Lower-case hex. */
  readonly sha256: string
}

/** Parts of a file that were read before the whole of it was seen. */
export class FileRanges {
  /** Its server gives whole files only. */
  isRefused = false
  readonly #parts: { readonly offset: number; readonly bytes: Buffer; isProven: boolean }[] = []

  /** Bytes that are known; undefined when some of them are not. */
  find(offset: number, length: number): Buffer | undefined {
    const part = this.#parts.find(
      (known) => known.offset <= offset && offset + length <= known.offset + known.bytes.length,
    )
    return part?.bytes.subarray(offset - part.offset, offset - part.offset + length)
  }

  add(offset: number, bytes: Buffer, isProven = false): Buffer {
    this.#parts.push({ offset, bytes, isProven })
    return bytes
  }

  get sizeBytes(): number {
    return this.#parts.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  /** Whether all parts were compared with the proven whole. */
  get isProven(): boolean {
    return this.#parts.every(({ isProven }) => isProven)
  }

  set isProven(isProven: boolean) {
    for (const part of this.#parts) part.isProven = isProven
  }

  /**
   * Compares what was read before with the file as it passes.
   *
   * @throws BuildError DIGEST_MISMATCH when the server gave something else for a part than for the whole
   */
  compare(at: number, chunk: Uint8Array, what: string): void {
    for (const { offset, bytes, isProven } of this.#parts) {
      const start = Math.max(at, offset)
      const end = Math.min(at + chunk.length, offset + bytes.length)
      if (isProven || start >= end) continue
      if (bytes.compare(chunk, start - at, end - at, start - offset, end - offset) === 0) continue
      throw new BuildError('DIGEST_MISMATCH', `A part of ${what} was not the one that the whole file has`, {
        hint: 'The server gave other bytes for a range than for the file. Do not trust the source.',
        data: { offset: start },
      })
    }
  }

  /** The parts by their hashes, in the order of their places. */
  describe(): readonly FilePart[] {
    return this.#parts
      .map(({ offset, bytes }) => ({ offset, sizeBytes: bytes.length, sha256: sha256Of(bytes) }))
      .toSorted((a, b) => a.offset - b.offset)
  }

  /** The parts as one piece of bytes. */
  pack(): Buffer {
    const places = this.#parts.map(({ offset, bytes }) => [offset, bytes.length])
    return Buffer.concat([Buffer.from(`${JSON.stringify(places)}\n`), ...this.#parts.map(({ bytes }) => bytes)])
  }

  /** The inverse of {@link pack}; undefined for anything else. */
  static unpack(packed: Buffer): FileRanges | undefined {
    const head = packed.indexOf('\n')
    let places: unknown
    try {
      places = JSON.parse(packed.toString('utf8', 0, Math.max(head, 0)))
    } catch {
      // Our own entry, damaged: as good as none.
      return undefined
    }
    if (!Array.isArray(places)) return undefined
    const ranges = new FileRanges()
    let at = head + 1
    for (const place of places as readonly (readonly [number, number])[]) {
      const [offset, length] = place
      const bytes = packed.subarray(at, at + length)
      if (!Number.isSafeInteger(offset) || bytes.length !== length) return undefined
      ranges.add(offset, bytes, true)
      at += length
    }
    return at === packed.length ? ranges : undefined
  }
}

/** Whether a part that was read is one of the parts that are known by their hashes. */
export function isKnownPart(offset: number, bytes: Uint8Array, known: readonly FilePart[]): boolean {
  const part = known.find((part) => part.offset === offset && part.sizeBytes === bytes.length)
  return part !== undefined && part.sha256 === sha256Of(bytes)
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Parts of a file that an earlier build has proven. */
export async function loadRanges(cache: Cache | undefined, sha256: string): Promise<FileRanges | undefined> {
  const packed = await cache?.get(sha256)
  return packed === undefined ? undefined : FileRanges.unpack(packed)
}

/** Keeps proven parts of a file. */
export async function saveRanges(cache: Cache | undefined, sha256: string, ranges: FileRanges): Promise<void> {
  await cache?.set(sha256, ranges.pack())
}
