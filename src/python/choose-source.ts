import type { ListedFile } from './index/client.ts'
import type { FilePolicy, ProjectVersion } from './project-versions.ts'
import { refuseFile } from './project-versions.ts'

/**
 * The source distribution of a version, under the same rules as wheels (age, Python, yanks, hashes); a `.tar.gz` goes
 * before a `.zip`. Undefined when there is none that may be taken.
 */
export function chooseSource(version: ProjectVersion, policy: FilePolicy): ListedFile | undefined {
  const files = version.filenames.flatMap((filename, place) => {
    const file = filename.endsWith('.whl') ? undefined : version.fileAt(place)
    return file === undefined || refuseFile(file, version, policy) !== undefined ? [] : [file]
  })
  return files.find(({ filename }) => filename.endsWith('.tar.gz')) ?? files[0]
}
