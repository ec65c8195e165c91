import { createHash, type Hash } from 'node:crypto'
import { createGunzip, type Gunzip } from 'node:zlib'
import type { Digest } from 'oci-spec-types'
import { BuildError } from '../src/core/errors.ts'
import { ElfScanner, type ElfFacts } from '../src/python/elf.ts'
import { TAR_BLOCK_BYTES, tarPadding } from './tar-header.ts'

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
  /** Shared libraries, in the layer's order. */
  readonly libraries: readonly (ElfFacts & { readonly path: string })[]
}

/** Takes a layer's bytes as they are made. */
export interface LayerCheck {
  /** The bytes may be reused once this resolves. @throws BuildError WHEEL_INVALID */
  write(chunk: Uint8Array): Promise<void>
  /** @throws BuildError WHEEL_INVALID */
  end(): Promise<LayerFindings>
  /** Gives up; nothing is reported. May be called at any time, also after `end`. */
  close(): void
}

const NOTHING: Buffer = Buffer.alloc(0)

const OUTPUT_BYTES = 1 << 18

/**
 * Reads back a spliced layer while it is written: inflates it, hashes the tar for the diffId, and proves every file's
 * CRC-32, size and RECORD hash from the bytes that will be published.
 *
 * zlib inflates on a thread of its own while this thread hashes what came before.
 *
 * @param what names the layer in errors
 */
export function checkLayer(expected: readonly ExpectedFile[], what: string): LayerCheck {
  const gunzip = createGunzip({ chunkSize: OUTPUT_BYTES })
  const reader = new TarCheck(expected, what)
  let failure: unknown
  const fail = (error: unknown): void => {
    failure ??= reader.explain(error)
    gunzip.destroy()
  }
  gunzip.on('data', (chunk: Buffer) => {
    try {
      if (failure === undefined) reader.write(chunk)
    } catch (error) {
      fail(error)
    }
  })
  gunzip.on('error', fail)
  const closed = new Promise<void>((resolve) => gunzip.once('close', resolve))
  return {
    write: async (chunk) => {
      if (failure !== undefined) throw failure
      await Promise.race([writeChunk(gunzip, chunk), closed])
      if (failure !== undefined) throw failure
    },
    end: async () => {
      if (failure === undefined) {
        gunzip.end()
        await Promise.race([new Promise<void>((resolve) => gunzip.once('end', resolve)), closed])
      }
      if (failure !== undefined) throw failure
      return reader.finish()
    },
    close: () => void gunzip.destroy(),
  }
}

function writeChunk(gunzip: Gunzip, chunk: Uint8Array): Promise<void> {
  // An error reaches the 'error' listener as well, which explains it.
  return new Promise((resolve) => gunzip.write(chunk, () => resolve()))
}

/** Walks through a tar that our own encoder wrote, in the order that was announced. For bytes that are inflated already. */
export class TarCheck {
  readonly #tarHash = createHash('sha256')
  readonly #expected: readonly ExpectedFile[]
  readonly #what: string
  #next = 0
  #tarBytes = 0
  #header: Buffer = NOTHING
  /** Bytes left of the current file or PAX body, then of its padding. */
  #left = 0
  #padding = 0
  #file: ExpectedFile | undefined
  #fileHash: Hash | undefined
  #elf: ElfScanner | undefined
  readonly #libraries: (ElfFacts & { readonly path: string })[] = []

  constructor(expected: readonly ExpectedFile[], what: string) {
    this.#expected = expected
    this.#what = what
  }

  write(chunk: Buffer): void {
    this.#tarHash.update(chunk)
    this.#tarBytes += chunk.length
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
    const missing = this.#expected[this.#next]
    if (missing !== undefined || this.#left > 0 || this.#header.length > 0)
      throw this.#invalid(`the layer ends before \`${this.#file?.path ?? missing?.path ?? ''}\` is complete`)
    return { diffId: `sha256:${this.#tarHash.digest('hex')}`, tarBytes: this.#tarBytes, libraries: this.#libraries }
  }

  /** Turns an error of zlib into one that names the file. */
  explain(error: unknown): unknown {
    if (error instanceof BuildError || !(error instanceof Error)) return error
    const path = this.#file?.path ?? this.#expected[this.#next]?.path
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
    const file = this.#expected[this.#next++]
    if (file === undefined) throw this.#invalid('a file was inflated that was not announced')
    this.#file = file
    const written = readOctal(header, 124)
    // A size from 8 GiB stands in the PAX header before, and the field is 0.
    if (written !== file.sizeBytes && !(written === 0 && file.sizeBytes >= 2 ** 33))
      throw this.#invalid(`\`${file.path}\` does not have the size that was announced`)
    this.#fileHash = file.hash === undefined ? undefined : createHash(file.hash.algorithm)
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
    if (file.hash !== undefined && this.#fileHash?.digest('base64url') !== file.hash.value)
      throw this.#invalid(`\`${file.path}\` does not have the hash that RECORD says`)
    const facts = this.#elf?.finish()
    if (facts !== undefined) this.#libraries.push({ path: file.path, ...facts })
    this.#file = this.#fileHash = this.#elf = undefined
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
