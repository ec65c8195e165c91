import { createHash } from 'node:crypto'
import { posix } from 'node:path'

/** What is counted of the code in one folder, without those below it. */
export interface FolderSize {
  readonly files: number
  readonly bytes: number
}

/** Beyond either the code is many layers; what most projects have is one. */
const WHOLE_FILES = 10_000
const WHOLE_BYTES = 256 * 2 ** 20
/** A folder with more than this below it is parted by its own folders. */
const UNIT_FILES = 2_000
const UNIT_BYTES = 64 * 2 ** 20
/** How many layers the code becomes, less those that nothing falls to. */
export const PARTS = 16

/**
 * Parts a large project, so that a changed file costs the layer of its folder and not all of them.
 *
 * Top folders stay whole, but for those that are large themselves: these go by the folders in them, and so on; the files that lie in such
 * a folder itself stay together. What a folder falls to follows from its path alone, as long as no folder above it becomes large or small.
 *
 * @param folders  what has code, by path from the project, `''` for itself
 * @returns the part of each folder, from 0 to {@link PARTS}; undefined for a project that is one layer
 */
export function partProject(folders: ReadonlyMap<string, FolderSize>): ((folder: string) => number) | undefined {
  const below = sizesBelow(folders)
  const whole = below.get('')
  if (whole === undefined || (whole.files <= WHOLE_FILES && whole.bytes <= WHOLE_BYTES)) return undefined
  const parts = new Map<string, number>()
  return (folder) => {
    const part = parts.get(folder) ?? partOf(unitOf(folder, below))
    parts.set(folder, part)
    return part
  }
}

function sizesBelow(folders: ReadonlyMap<string, FolderSize>): ReadonlyMap<string, FolderSize> {
  const below = new Map<string, FolderSize>()
  for (const [folder, { files, bytes }] of folders) {
    for (let at = folder; ; at = parentOf(at)) {
      const sum = below.get(at)
      below.set(at, { files: files + (sum?.files ?? 0), bytes: bytes + (sum?.bytes ?? 0) })
      if (at === '') break
    }
  }
  return below
}

/** The first folder on the way down that is not large, or else the folder itself. */
function unitOf(folder: string, below: ReadonlyMap<string, FolderSize>): string {
  let unit = ''
  for (const name of folder === '' ? [] : folder.split('/')) {
    unit = posix.join(unit, name)
    const size = below.get(unit)
    if (size === undefined || (size.files <= UNIT_FILES && size.bytes <= UNIT_BYTES)) break
  }
  return unit
}

function partOf(unit: string): number {
  return (createHash('sha256').update(unit).digest()[0] ?? 0) % PARTS
}

function parentOf(folder: string): string {
  const parent = posix.dirname(folder)
  return parent === '.' ? '' : parent
}
