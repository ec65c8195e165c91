import type { RemoteFile } from '../core/remote-file.ts'
import type { ListedFile } from './index/client.ts'
import type { LockedSource } from './lock.ts'

/** A source whose metadata is known. */
export interface DescribedSource {
  /** Core metadata: of a source distribution that states it for good, else as its build backend prepared it. */
  readonly metadata: string
  /**
   * The archive; for a repository or a folder a made-up name, with a digest of address and commit, or of the folder's
   * files.
   */
  readonly file: RemoteFile & { readonly filename: string }
  readonly source: LockedSource
}

/** Describes sources: from what they say of themselves, else by running their build backend in a sandbox. */
export interface SourceReader {
  /**
   * Describes a source distribution that an index lists.
   *
   * @throws BuildError RUN_FAILED, HOST_UNSUPPORTED when its backend had to run and could not
   */
  listed(file: ListedFile): Promise<DescribedSource>
  /**
   * Describes what a requirement names: the URL of an archive, `git+...`, the `file:` URL of a folder.
   *
   * @param origin where it was read, for errors
   * @throws BuildError NOT_SUPPORTED for other kinds of repositories
   */
  named(location: string, origin: string | undefined): Promise<DescribedSource>
}
