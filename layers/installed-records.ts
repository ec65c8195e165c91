import type { InstallScheme, WrittenFile } from './wheel-files.ts'

/**
 * RECORD files as they lie in the layers of their wheels, while an image is made: a requested wheel's gets further rows in the
 * environment's layer, and opening a large wheel again for that takes tens of megabytes at the end of a build.
 */
export class InstalledRecords {
  readonly #records = new Map<string, WrittenFile>()

  keep(wheel: { readonly sha256: string }, scheme: InstallScheme, record: WrittenFile): void {
    this.#records.set(keyOf(wheel, scheme), record)
  }

  find(wheel: { readonly sha256: string }, scheme: InstallScheme): WrittenFile | undefined {
    return this.#records.get(keyOf(wheel, scheme))
  }
}

function keyOf({ sha256 }: { readonly sha256: string }, { prefix, python }: InstallScheme): string {
  return `${sha256} ${python} ${prefix}`
}
