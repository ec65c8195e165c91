/**
 * The candidate nearest to a word that nobody knows, if one is near enough to be what was meant.
 *
 * Near enough: at most one edit per three characters (optimal string alignment distance, letter case ignored),
 * or the same letters once `-`, `_`, `.` and spaces are left out.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = word.toLowerCase()
  const limit = wanted.length < 2 ? 0 : Math.max(1, Math.floor(wanted.length / 3))
  let best: string | undefined
  let bestDistance = limit + 1
  for (const candidate of candidates) {
    if (squash(candidate) === squash(word) && candidate !== word) return candidate
    const distance = editDistance(wanted, candidate.toLowerCase(), bestDistance)
    if (distance < bestDistance && candidate !== word) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

function squash(text: string): string {
  return text.toLowerCase().replaceAll(/[-_. ]/g, '')
}

/**
 * Counts the insertions, removals, replacements and swaps of neighbours that turn one text into the other.
 *
 * @param limit gives up, with this number, as soon as the distance cannot be below it
 */
export function editDistance(a: string, b: string, limit: number = Number.POSITIVE_INFINITY): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let beforePrevious: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(at(previous, j) + 1, at(current, j - 1) + 1, at(previous, j - 1) + (same ? 0 : 1))
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) cost = Math.min(cost, at(beforePrevious, j - 2) + 1)
      current.push(cost)
    }
    if (Math.min(...current) >= limit) return limit
    beforePrevious = previous
    previous = current
  }
  return Math.min(limit, at(previous, b.length))
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}
