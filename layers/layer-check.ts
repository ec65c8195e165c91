import type { Digest } from 'oci-spec-types'
import type { Expected } from '../src/core/digest.ts'
import { BuildError } from '../src/core/errors.ts'
import { threadLanes, type LaneUser, type StreamHash } from '../src/core/sha256/lanes.ts'
import { ElfScanner, type ElfFacts } from '../src/python/elf.ts'
import { openGunzip } from './inflate/gunzip.ts'
import { canInflateRaw } from './inflate/raw-inflater.ts'
import { Outbox } from './outbox.ts'
import { TAR_BLOCK_BYTES, tarPadding } from './tar-header.ts'
import { openZstd, type ZstdWriter } from './zstd.ts'
import type { ZtocParts } from './ztoc/spill.ts'
import { openIndexingGunzip } from './ztoc/ztoc.ts'

/** What a file of a layer must turn out to hold. In the layer's order; directories are left out. */
export interface ExpectedFile {
  readonly path: string
  readonly sizeBytes: number
  /** Base64url without padding; a file without a hash is proven by its gzip member's CRC-32 alone. */
  readonly hash?: { readonly algorithm: string; readonly value: string } | undefined
}

/** What reading a layer's own bytes has shown. */
export interface LayerFindings {
  readonly diffId: Digest
  /** Size of the uncompressed tar. */
  readonly tarBytes: number
  /** What the layer's own bytes were, where that was asked for. */
  readonly blob?: Expected | undefined
  /** Shared libraries, in the layer's order. */
  readonly libraries: readonly (ElfFacts & { readonly path: string })[]
  /** The table for lazy pulling where it was asked for, and where our own inflater is there. */
  readonly ztoc?: ZtocParts | undefined
  /** What it took, in milliseconds; inflating includes compressing again where that is asked for. */
  readonly spentMs: { readonly inflate?: number; readonly hash: number }
}

/** What a check gives back beside its findings: nothing, or the layer's tar in another compression. */
export type CheckOutput = 'nothing' | 'zstd' | 'none'

/** What is checked, and what else is to become of it. */
export interface CheckTask {
  /** Undefined for a layer that was proven when it was made: its tar is hashed alone. */
  readonly expected: readonly ExpectedFile[] | undefined
  /** Names the layer in errors. */
  readonly what: string
  /** `nothing` unless given. */
  readonly output?: CheckOutput | undefined
  /** Make the table for lazy pulling, too. */
  readonly isIndexing?: boolean | undefined
  /** Hash the layer's own bytes, too: where streams are hashed beside each other, one more costs next to nothing. */
  readonly isHashing?: boolean | undefined
  /** A folder where what is too much to hold of a table may lie meanwhile. */
  readonly spillFolder?: string | undefined
}

/** Takes a layer's bytes as they are made. */
export interface LayerCheck {
  /** The bytes may be reused once this resolves. @throws BuildError WHEEL_INVALID */
  write(chunk: Uint8Array): Promise<void>
  /** @throws BuildError WHEEL_INVALID */
  end(): Promise<LayerFindings>
  /**
   * Takes what was put out since the last call, also after `end`; nothing unless the task asks for it. Of a compressing thread
   * it is valid until the next call.
   *
   * @param moreThan nothing is taken unless more bytes wait; 0 unless given
   */
  made(moreThan?: number): readonly Uint8Array[]
  /** Takes as much of it as there is room for, where that is possible; gives back how many bytes. */
  madeInto?(memory: Uint8Array): number
  /** Gives up; nothing is reported. May be called at any time, also after `end`. */
  close(): void
}

const NOTHING: Buffer = Buffer.alloc(0)

/**
 * Reads back a spliced layer while it is written: inflates it, hashes the tar for the diffId, and proves every file's
 * CRC-32, size and RECORD hash from the bytes that will be published.
 */
export function checkLayer({
  expected,
  what,
  output = 'nothing',
  isIndexing = false,
  isHashing = false,
  spillFolder,
}: CheckTask): LayerCheck {
  const user = threadLanes().user()
  const reader = new TarCheck(expected, what, user)
  const blob = isHashing ? new BlobHash(user) : undefined
  const made = new Outbox()
  let zstd: ZstdWriter | undefined
  /** What hearing and waiting took of the time that is measured around them. */
  let apartMs = 0
  const hear = (chunk: Buffer): Promise<void> | undefined => {
    if (output === 'zstd') zstd?.write(chunk)
    if (output === 'none') made.add(chunk)
    const startedAt = performance.now()
    const heard = reader.write(chunk)
    apartMs += performance.now() - startedAt
    return heard === undefined ? undefined : awaited(heard)
  }
  const awaited = async (work: Promise<void>): Promise<void> => {
    const startedAt = performance.now()
    await work
    apartMs += performance.now() - startedAt
  }
  const indexing = isIndexing && canInflateRaw() ? openIndexingGunzip(hear, what, spillFolder) : undefined
  const gunzip = indexing ?? openGunzip(hear)
  let spentMs = 0
  const explained = async (work: () => Promise<void>): Promise<void> => {
    const startedAt = performance.now()
    try {
      if (output === 'zstd') zstd ??= await openZstd(made)
      await work()
    } catch (error) {
      throw reader.explain(error)
    } finally {
      spentMs += performance.now() - startedAt
    }
  }
  const close = (): void => {
    reader.close()
    blob?.close()
    user.close()
    gunzip.close()
    zstd?.close()
  }
  return {
    write: (chunk) =>
      explained(async () => {
        blob?.update(chunk)
        await gunzip.write(chunk)
        // Of few bytes in, nothing may have come out, and these are the caller's.
        const settled = user.settled()
        if (settled !== undefined) await awaited(settled)
      }),
    end: async () => {
      await explained(() => gunzip.end())
      zstd?.end()
      const findings = { ...reader.finish(), blob: blob?.finish() }
      const { hash } = findings.spentMs
      // Nobody has to wait for it any longer, and what compresses still has to put out.
      user.close()
      return { ...findings, ztoc: indexing?.ztoc(), spentMs: { inflate: Math.max(0, spentMs - apartMs), hash } }
    },
    made: (moreThan = 0) => (made.sizeBytes > moreThan ? made.take() : []),
    ...(output === 'nothing' ? {} : { madeInto: (memory) => made.takeInto(memory) }),
    close,
  }
}

/** Hashes what is published as it comes. */
class BlobHash {
  readonly #hash: StreamHash
  #sizeBytes = 0

  constructor(user: LaneUser) {
    this.#hash = user.open()
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk)
    this.#sizeBytes += chunk.length
  }

  finish(): Expected {
    return { digest: `sha256:${this.#hash.digest().toString('hex')}`, size: this.#sizeBytes }
  }

  close(): void {
    this.#hash.close()
  }
}

/** A file that was read to its end, and what it should turn out to be. */
interface EndedFile {
  readonly path: string
  readonly value: string
  readonly hash: StreamHash
}

/** So many files that ended wait for each other at the most. */
const MOST_ENDED = 48

/** Walks through a tar that our own encoder wrote, in the order that was announced. For bytes that are inflated already. */
export class TarCheck {
  readonly #user: LaneUser
  readonly #tarHash: StreamHash
  readonly #expected: readonly ExpectedFile[] | undefined
  readonly #what: string
  #next = 0
  #tarBytes = 0
  #readMs = 0
  #header: Buffer = NOTHING
  /** Bytes left of the current file or PAX body, then of its padding. */
  #left = 0
  #padding = 0
  #file: ExpectedFile | undefined
  #fileHash: StreamHash | undefined
  #elf: ElfScanner | undefined
  readonly #ended: EndedFile[] = []
  readonly #libraries: (ElfFacts & { readonly path: string })[] = []

  /** @param user  who hashes; to be closed by the caller */
  constructor(expected: readonly ExpectedFile[] | undefined, what: string, user: LaneUser) {
    this.#expected = expected
    this.#what = what
    this.#user = user
    this.#tarHash = user.open()
  }

  /** Takes the next bytes, which may be used again when this returns, or what it gives back is there. @throws BuildError WHEEL_INVALID */
  write(chunk: Buffer): Promise<void> | undefined {
    const startedAt = performance.now()
    try {
      this.#take(chunk)
    } catch (error) {
      // A file before it that is not what it should be is the reason.
      this.#prove()
      throw error
    }
    this.#readMs += performance.now() - startedAt
    const settled = this.#user.settled()
    if (settled !== undefined) return settled.then(() => this.#prove())
    this.#prove()
    return undefined
  }

  #take(chunk: Buffer): void {
    this.#tarHash.update(chunk)
    this.#tarBytes += chunk.length
    if (this.#expected === undefined) return
    for (let at = 0; at < chunk.length;) {
      if (this.#left > 0) {
        const part = chunk.subarray(at, at + this.#left)
        this.#fileHash?.update(part)
        this.#elf?.write(part)
        this.#left -= part.length
        at += part.length
        if (this.#left === 0) this.#endFile()
      } else if (this.#padding > 0) {
        const skipped = Math.min(this.#padding, chunk.length - at)
        this.#padding -= skipped
        at += skipped
      } else at += this.#takeHeader(chunk.subarray(at))
    }
  }

  finish(): LayerFindings {
    this.#prove()
    const missing = this.#expected?.[this.#next]
    if (missing !== undefined || this.#left > 0 || this.#header.length > 0)
      throw this.#invalid(`the layer ends before \`${this.#file?.path ?? missing?.path ?? ''}\` is complete`)
    return {
      diffId: `sha256:${this.#tarHash.digest().toString('hex')}`,
      tarBytes: this.#tarBytes,
      libraries: this.#libraries,
      spentMs: { hash: this.#readMs + this.#user.spentMs },
    }
  }

  /** Gives up. May be called at any time. */
  close(): void {
    for (const hash of [this.#tarHash, this.#fileHash, ...this.#ended.map((file) => file.hash)]) hash?.close()
  }

  /** Turns an error of the inflater into one that names the file. */
  explain(error: unknown): unknown {
    if (error instanceof BuildError || !(error instanceof Error)) return error
    if (this.#expected === undefined)
      return new BuildError('STORE_CORRUPT', `${this.#what} is damaged: ${error.message}`, {
        cause: error,
        hint: 'Run `layerwright cache verify`, then the same command again.',
      })
    // A wrong CRC-32 is seen when the file has ended already; headers are our own and sound.
    const path = (this.#expected?.[this.#next - 1] ?? this.#expected?.[0])?.path ?? 'the layer'
    return this.#invalid(`\`${path}\` is damaged: ${error.message}`, error)
  }

  #takeHeader(bytes: Buffer): number {
    const taken = bytes.subarray(0, TAR_BLOCK_BYTES - this.#header.length)
    const header = this.#header.length === 0 ? taken : Buffer.concat([this.#header, taken])
    // A copy, so that a few bytes do not keep a whole chunk alive.
    this.#header = header.length < TAR_BLOCK_BYTES ? Buffer.from(header) : NOTHING
    if (header.length < TAR_BLOCK_BYTES) return taken.length
    const type = String.fromCharCode(header[156] ?? 0)
    if (type === '0') this.#startFile(header)
    else if (type === 'x') this.#skip(readOctal(header, 124))
    else if (type !== '5' && type !== '2' && type !== '\0') throw this.#invalid(`unexpected tar entry of type ${type}`)
    return taken.length
  }

  #startFile(header: Buffer): void {
    const file = this.#expected?.[this.#next++]
    if (file === undefined) throw this.#invalid('a file was inflated that was not announced')
    this.#file = file
    const written = readOctal(header, 124)
    // A size from 8 GiB stands in the PAX header before, and the field is 0.
    if (written !== file.sizeBytes && !(written === 0 && file.sizeBytes >= 2 ** 33))
      throw this.#invalid(`\`${file.path}\` does not have the size that was announced`)
    this.#fileHash = file.hash === undefined ? undefined : this.#user.open(file.hash.algorithm)
    this.#elf = /\.so(?:\.[0-9]|$)/.test(file.path) ? new ElfScanner() : undefined
    this.#skip(file.sizeBytes)
    if (file.sizeBytes === 0) this.#endFile()
  }

  #skip(sizeBytes: number): void {
    this.#left = sizeBytes
    this.#padding = tarPadding(sizeBytes)
  }

  #endFile(): void {
    const file = this.#file
    if (file === undefined) return
    if (file.hash !== undefined && this.#fileHash !== undefined)
      this.#ended.push({ path: file.path, value: file.hash.value, hash: this.#fileHash })
    if (this.#ended.length >= MOST_ENDED) this.#prove()
    const facts = this.#elf?.finish()
    if (facts !== undefined) this.#libraries.push({ path: file.path, ...facts })
    this.#file = this.#fileHash = this.#elf = undefined
  }

  /** Compares the files that have ended, which are hashed beside each other until then. */
  #prove(): void {
    for (const { path, value, hash } of this.#ended.splice(0))
      if (hash.digest().toString('base64url') !== value)
        throw this.#invalid(`\`${path}\` does not have the hash that RECORD says`)
  }

  #invalid(problem: string, cause?: unknown): BuildError {
    return new BuildError('WHEEL_INVALID', `${this.#what}: ${problem}`, {
      cause,
      hint: 'The wheel was damaged, altered or badly made. Nothing of it was published.',
    })
  }
}

function readOctal(header: Buffer, at: number): number {
  return Number.parseInt(header.toString('latin1', at, at + 11), 8)
}
