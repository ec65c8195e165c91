/** What grouping looks at. */
export interface Groupable {
  /** A stable name: the same file in the next build has the same one. */
  readonly name: string
  readonly sizeBytes: number
}

/** How files are spread over layers. */
export interface GroupOptions {
  /** Files of at least this size get a layer of their own; 8 MB unless given. */
  readonly aloneBytes?: number | undefined
  /** A group is not filled beyond this; 32 MB unless given. */
  readonly groupBytes?: number | undefined
  /** Most layers that may come out; 60 unless given. */
  readonly budget?: number | undefined
}

/** Layers that all kinds together may use: overlay file systems stop at 127, and bases bring a dozen. */
export const LAYER_BUDGET = 100

/**
 * Spreads files over layers so that a changed file changes few of them.
 *
 * Large files lie alone, where images share them. The others are put into groups by a hash of their name and not by
 * filling one after the other: adding, removing or updating one file leaves every other group as it was, unless the
 * number of groups changes, which happens at powers of two only.
 *
 * @returns groups in a stable order, large ones first; members sorted by name. Never more than the budget
 */
export function groupFiles<T extends Groupable>(
  files: readonly T[],
  options: GroupOptions = {},
): readonly (readonly T[])[] {
  const { aloneBytes = 8_000_000, groupBytes = 32_000_000, budget = 60 } = options
  if (budget < 1) throw new RangeError('A layer budget must be at least 1')
  const sorted = files.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  const large = sorted.filter(({ sizeBytes }) => sizeBytes >= aloneBytes)
  const small = sorted.filter(({ sizeBytes }) => sizeBytes < aloneBytes)
  // When even the large ones are too many, the smallest of them are grouped like the rest.
  const room = small.length > 0 || large.length > budget ? budget - 1 : budget
  const bySize = large.toSorted((a, b) => b.sizeBytes - a.sizeBytes)
  const alone = new Set(bySize.slice(0, room))
  const rest = sorted.filter((file) => !alone.has(file))
  const groups = splitByHash(rest, groupBytes, Math.max(1, budget - alone.size))
  return [...large.filter((file) => alone.has(file)).map((file) => [file]), ...groups]
}

function splitByHash<T extends Groupable>(files: readonly T[], groupBytes: number, most: number): readonly T[][] {
  if (files.length === 0) return []
  for (let count = 1; ; count *= 2) {
    const groups: T[][] = Array.from({ length: count }, () => [])
    for (const file of files) groups[nameHash(file.name) % count]?.push(file)
    const isFull = groups.some((group) => group.length > 1 && totalBytes(group) > groupBytes)
    if (!isFull || count * 2 > most) return groups.filter((group) => group.length > 0)
  }
}

function totalBytes(files: readonly Groupable[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}

/** FNV-1a with a final mix, so that the low bits depend on all of the name. */
function nameHash(name: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b)
  return (hash ^ (hash >>> 16)) >>> 0
}
