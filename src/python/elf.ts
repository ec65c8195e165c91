import { ElfImage, type LibraryFacts } from './elf-image.ts'
import { FatbinScanner } from './fatbin.ts'

/** What a shared library asks of the system it runs on, and of its GPU. */
export interface ElfFacts extends LibraryFacts {
  /** CUDA architectures with machine code (`sm_90`) or portable code (`compute_90`), sorted. */
  readonly cudaArchitectures: readonly string[]
}

/**
 * Reads a library while it streams by, in bounded memory.
 *
 * The dynamic section names its strings by place, and the strings usually come before it. So everything that looks like
 * a library's name or a search path is remembered with its place until the dynamic section tells which ones count.
 *
 * @see System V ABI, chapter 5, "Dynamic Section"
 */
export class ElfScanner {
  readonly #image = new ElfImage()
  readonly #fatbins = new FatbinScanner()
  #isElf: boolean | undefined

  write(chunk: Buffer): void {
    if (chunk.length === 0 || this.#isElf === false) return
    this.#isElf ??= chunk[0] === 0x7f
    this.#image.write(chunk, this.#fatbins.isInside(chunk.length))
    this.#fatbins.write(chunk)
  }

  /** Undefined when it was no 64-bit little-endian ELF file. */
  finish(): ElfFacts | undefined {
    const facts = this.#isElf === true ? this.#image.finish() : undefined
    return facts && { ...facts, cudaArchitectures: this.#fatbins.finish() }
  }
}
