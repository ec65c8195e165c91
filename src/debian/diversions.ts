import { cleanMemberPath, followLinks } from './paths.ts'

/** dpkg's list of diversions. */
export const DIVERSIONS_FILE = 'var/lib/dpkg/diversions'

/** A file that lies elsewhere than its packages say, because another package has the place; paths without leading slash. */
export interface Diversion {
  readonly from: string
  readonly to: string
  /** Whose file keeps the place; `:` when the administrator's does. */
  readonly by: string
}

/**
 * Reads dpkg's list of diversions, three lines each. What is no path of a file system is left out: dpkg would not follow it.
 *
 * @see dpkg-divert(1)
 */
export function parseDiversions(text: string): Diversion[] {
  const lines = text.split('\n')
  const diversions: Diversion[] = []
  for (let at = 0; at + 2 < lines.length; at += 3) {
    const [from, to, by] = [cleanPath(lines[at]), cleanPath(lines[at + 1]), lines[at + 2]]
    if (from !== undefined && to !== undefined && by) diversions.push({ from, to, by })
  }
  return diversions
}

function cleanPath(line = ''): string | undefined {
  if (!line.startsWith('/')) return undefined
  try {
    return cleanMemberPath(line) || undefined
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

/** Tells where a package's file lies: diversions name places before the base's links to folders are followed, or after. */
export function diverter(
  diversions: readonly Diversion[],
  links: ReadonlyMap<string, string>,
): (path: string, packageName: string) => string {
  const byPlace = new Map(
    diversions.map(({ from, to, by }) => [followLinks(from, links), { to: followLinks(to, links), by }]),
  )
  return (path, packageName) => {
    const diversion = byPlace.get(path)
    return diversion === undefined || diversion.by === packageName ? path : diversion.to
  }
}
