/** All directories above these paths, sorted, each before what lies in it. */
export function parentsOf(paths: Iterable<string>): readonly string[] {
  const parents = new Set<string>()
  for (const path of paths) {
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      const parent = path.slice(0, slash)
      if (parents.has(parent)) break
      parents.add(parent)
    }
  }
  return [...parents].sort(comparePaths)
}

/** Orders paths by code unit, with a directory directly before its contents. */
export function comparePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  let n = 0
  while (n < length && a.charCodeAt(n) === b.charCodeAt(n)) n++
  return n < length ? rankOf(a, n) - rankOf(b, n) : a.length - b.length
}

/** A slash sorts before everything else that a name may hold, or `a-b` would come between `a` and `a/c`. */
function rankOf(path: string, at: number): number {
  const unit = path.charCodeAt(at)
  return unit === SLASH ? -1 : unit
}

const SLASH = 0x2f
