/** One file of a project, as an index lists it. Plain JSON, kept small: an index page may list ten thousand. */
export interface IndexFile {
  readonly filename: string
  /** Absolute, without fragment and credentials. */
  readonly url: string
  /** Lower-case hex by algorithm (`sha256`, `sha512`, ...). */
  readonly hashes: Readonly<Record<string, string>>
  readonly sizeBytes?: number
  readonly requiresPython?: string
  /** ISO 8601, as the index wrote it. @see PEP 700 */
  readonly uploadTime?: string
  /** The reason, or an empty string without one; absent for a file that is not yanked. @see PEP 592 */
  readonly yanked?: string
  /** The index offers `<url>.metadata`; the value is its sha256 or an empty string. @see PEP 658, 714 */
  readonly metadataSha256?: string
}

/**
 * A project's page of a simple index.
 *
 * Files are read when they are looked at: of the thousands that a page lists a resolution looks at a handful.
 */
export interface IndexPage {
  /** Where the page was found, after redirects; without credentials. */
  readonly url: string
  /** One for each entry, in the page's order; empty for an entry that cannot be read. */
  readonly filenames: readonly string[]
  /**
   * The file at a place of `filenames`; undefined for an entry that cannot be read. A wheel for another system than Linux
   * may lack its own address and hashes.
   */
  fileAt(place: number): IndexFile | undefined
}

/** A page of files that are all read already. */
export function pageOf(url: string, files: readonly IndexFile[]): IndexPage {
  return { url, filenames: files.map(({ filename }) => filename), fileAt: (place) => files[place] }
}
