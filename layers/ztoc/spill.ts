import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { explainWriteError } from '../../src/core/atomic-file.ts'
import { openPath } from '../../src/core/file-access.ts'
import { temporaryName } from '../../src/core/temporary-name.ts'

/** A part of a table that lies in a temporary file. */
export interface SpilledPart {
  readonly path: string
  readonly length: number
}

/** A ztoc in pieces, one after another: in memory of their own, or spilled. */
export type ZtocParts = readonly (Uint8Array<ArrayBuffer> | SpilledPart)[]

/** A temporary file for what is too much to hold. Blocks: it is written a megabyte at a time, rarely. */
export class Spill {
  readonly #path: string
  #file: number | undefined
  #length = 0

  /** @param folder  where what a killed process has left is removed by the next */
  constructor(folder: string) {
    this.#path = join(folder, temporaryName('.ztoc'))
  }

  /** @throws BuildError DISK_FULL */
  write(bytes: Uint8Array): void {
    try {
      this.#file ??= openSync(this.#path, 'wx')
      for (let done = 0; done < bytes.length;) done += writeSync(this.#file, bytes, done)
    } catch (error) {
      throw explainWriteError(error, this.#path)
    }
    this.#length += bytes.length
  }

  /** Ends it. Whoever has the parts removes the file, by {@link readParts} or {@link removeParts}. */
  finish(): readonly SpilledPart[] {
    if (this.#file === undefined) return []
    closeSync(this.#file)
    this.#file = undefined
    return [{ path: this.#path, length: this.#length }]
  }

  /** Gives up what is not finished. */
  close(): void {
    if (this.#file === undefined) return
    closeSync(this.#file)
    this.#file = undefined
    rmSync(this.#path, { force: true })
  }
}

/** The bytes of a table, once; each chunk is valid until the next is asked for. */
export async function* readParts(parts: ZtocParts): AsyncGenerator<Uint8Array> {
  try {
    for (const part of parts) {
      if (part instanceof Uint8Array) yield part
      else yield* openPath(part.path)({ reuse: true })
    }
  } finally {
    await removeParts(parts)
  }
}

/** Lets go of a table that nobody reads. */
export async function removeParts(parts: ZtocParts): Promise<void> {
  for (const part of parts) if (!(part instanceof Uint8Array)) await rm(part.path, { force: true })
}
