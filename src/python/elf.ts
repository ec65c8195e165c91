/** What a shared library asks of the system it runs on. */
export interface ElfFacts {
  readonly machine: string
  readonly soname?: string | undefined
  readonly needed: readonly string[]
  /** RPATH or RUNPATH, split at colons. */
  readonly searchPath: readonly string[]
  /** CUDA architectures with machine code (`sm_90`) or portable code (`compute_90`), sorted. */
  readonly cudaArchitectures: readonly string[]
}

/** Reads a library while it streams by. */
export class ElfScanner {
  write(_chunk: Buffer): void {}

  /** Undefined when it was no ELF file. */
  finish(): ElfFacts | undefined {
    return undefined
  }
}
