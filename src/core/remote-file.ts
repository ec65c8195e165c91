/** A file that can be fetched and proven: the least that a lock says of a wheel, a package or an archive. */
export interface RemoteFile {
  /** `https:`, `http:` or `file:`; without credentials. */
  readonly url: string
  /** Lower-case hex of the whole file. */
  readonly sha256: string
  readonly sizeBytes: number
}
