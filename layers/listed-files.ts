/** A file or link of a folder, by content. Plain JSON. */
export type ListedFile =
  | {
      /** Relative to the folder, `/` between parts. */
      readonly path: string
      readonly sizeBytes: number
      /** Lower-case hex. */
      readonly sha256: string
      readonly mode: number
    }
  | { readonly path: string; readonly link: string }
  | { readonly path: string; readonly directory: true }

/** Listed files, sorted by path: an array of them, or what makes each when it is asked for. */
export interface ListedFiles extends Iterable<ListedFile> {
  readonly length: number
}

/** Files that are made anew, each time from the first, whenever somebody goes through them: a hundred thousand are never held. */
export class MadeFiles implements ListedFiles {
  readonly length: number
  readonly #make: () => Iterable<ListedFile>

  /** @param length  how many of them there are */
  constructor(length: number, make: () => Iterable<ListedFile>) {
    this.length = length
    this.#make = make
  }

  [Symbol.iterator](): Iterator<ListedFile> {
    return this.#make()[Symbol.iterator]()
  }

  toJSON(): readonly ListedFile[] {
    return [...this]
  }
}

/** Some of listed files. */
export function filterFiles(files: ListedFiles, isWanted: (file: ListedFile) => boolean): ListedFiles {
  const make = function* (): Generator<ListedFile> {
    for (const file of files) if (isWanted(file)) yield file
  }
  let length = 0
  for (const _ of make()) length++
  return new MadeFiles(length, make)
}
