/** From this size on a file has a layer of its own, and its download is let go when the layer is there. */
export const LARGE_WEIGHT_BYTES = 64 * 2 ** 20

/** A few words for a list of files. */
export function describeFiles(paths: readonly string[]): string {
  const [first = '', ...others] = paths
  const name = first.slice(first.lastIndexOf('/') + 1)
  return others.length === 0 ? `weights ${name}` : `weights ${name} and ${others.length} more`
}
