/**
 * Compares dotted numbers part by part; what follows the digits (`rc1`, `+cu128`) is left out.
 *
 * A missing part counts as 0, so `12.8` equals `12.8.0`.
 */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [parts(a), parts(b)]
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

function parts(version: string): readonly number[] {
  return /^\d+(\.\d+)*/.exec(version)?.[0].split('.').map(Number) ?? []
}

/** `12` of `12.8.1`. */
export function majorOf(version: string): string {
  return version.split('.', 1)[0] ?? version
}

/** `12.8` of `12.8.1`. */
export function minorOf(version: string): string {
  return version.split('.').slice(0, 2).join('.')
}

/** The newest of some versions; undefined of none. */
export function newest(versions: readonly string[]): string | undefined {
  return versions.toSorted(compareVersions).at(-1)
}
