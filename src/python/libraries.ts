import { posix } from 'node:path'
import { groupBy } from '../core/group-by.ts'
import type { ElfFacts } from './elf.ts'

/** A shared library of a layer. */
export interface PlacedLibrary extends ElfFacts {
  /** Without a leading slash. */
  readonly path: string
}

/** What an image offers to its libraries besides each other. */
export interface LibraryWorld {
  /** All shared libraries of all packages. */
  readonly libraries: readonly PlacedLibrary[]
  /** Names of the libraries that the base and its packages have where the loader looks by itself. */
  readonly systemNames: ReadonlySet<string>
  /** Folders of `LD_LIBRARY_PATH`, absolute. */
  readonly libraryPath: readonly string[]
}

/** A name that a library needs and the loader would not find by itself. */
export interface UnmetNeed {
  /** The library that needs it. */
  readonly path: string
  readonly needed: string
  /** Folders of the image that have such a file, absolute; empty when there is none at all. */
  readonly folders: readonly string[]
}

/**
 * Finds needs that the loader will not meet by search paths.
 *
 * A need with folders is met when something loads that file first (torch does it for its extensions), or when a folder
 * is put on `LD_LIBRARY_PATH`; one without folders cannot be met in this image.
 *
 * @see ld.so(8), "The program interpreter looks for shared objects"
 */
export function findUnmetNeeds({ libraries, systemNames, libraryPath }: LibraryWorld): readonly UnmetNeed[] {
  const byName = groupBy(libraries, ({ path }) => posix.basename(path))
  const paths = new Set(libraries.map(({ path }) => `/${path}`))
  // A file may carry a hash in its name and be looked for by its soname, when it is loaded already.
  const bySoname = groupBy(libraries, ({ soname, path }) => soname ?? posix.basename(path))
  const unmet: UnmetNeed[] = []
  for (const { path, needed, searchPath } of libraries) {
    const folder = posix.dirname(`/${path}`)
    const folders = [...searchPath.map((entry) => expandOrigin(entry, folder)), ...libraryPath]
    for (const name of needed) {
      if (systemNames.has(name) || isDriverLibrary(name) || isLoader(name)) continue
      if (folders.some((place) => paths.has(posix.join(place, name)))) continue
      const elsewhere = [...(byName.get(name) ?? []), ...(bySoname.get(name) ?? [])]
      const places = [...new Set(elsewhere.map((library) => posix.dirname(`/${library.path}`)))].sort()
      unmet.push({ path, needed: name, folders: places })
    }
  }
  return unmet
}

/** Whether a library comes with the GPU's driver and is mounted when a container starts. */
export function isDriverLibrary(name: string): boolean {
  return /^lib(?:cuda|nvcuvid|nvoptix|cudadebugger|nvidia-[a-z0-9-]+)\.so(?:\.[0-9.]+)?$/.test(name)
}

function expandOrigin(entry: string, folder: string): string {
  return posix.normalize(entry.replace(/\$\{?ORIGIN\}?/g, folder))
}

/** The loader itself stands in NEEDED of some libraries. */
function isLoader(name: string): boolean {
  return /^ld-linux(?:-[a-z0-9-]+)?\.so\.[0-9]+$/.test(name)
}
