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
  // A slash must sort before everything else that a name may hold, or `a-b` would come between `a` and `a/c`.
  const left = a.replaceAll('/', '\0')
  const right = b.replaceAll('/', '\0')
  return left < right ? -1 : left > right ? 1 : 0
}
