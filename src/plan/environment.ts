/** One variable of an image's configuration. */
export interface Variable {
  readonly name: string
  readonly value: string
}

/** Splits `NAME=value` lines of an image configuration; a line without `=` is a name without a value. */
export function parseEnvironment(lines: readonly string[]): Variable[] {
  return lines.map((line) => {
    const equals = line.indexOf('=')
    return equals === -1 ? { name: line, value: '' } : { name: line.slice(0, equals), value: line.slice(equals + 1) }
  })
}

/**
 * Puts variables over others: a later value replaces an earlier one in the earlier one's place, new names go last.
 *
 * The order is stable, so that equal input gives equal bytes.
 */
export function mergeEnvironment(lower: readonly Variable[], upper: readonly Variable[]): Variable[] {
  const merged = new Map(lower.map(({ name, value }) => [name, value]))
  for (const { name, value } of upper) merged.set(name, value)
  return [...merged].map(([name, value]) => ({ name, value }))
}

/** Writes variables as an image configuration has them. */
export function formatEnvironment(variables: readonly Variable[]): string[] {
  return variables.map(({ name, value }) => `${name}=${value}`)
}

/** A list of folders such as PATH with others before or after; a folder that is there already keeps its place. */
export function joinFolders(
  list: string | undefined,
  more: { readonly before?: readonly string[]; readonly after?: readonly string[] },
): string {
  const present = (list ?? '').split(':').filter((folder) => folder !== '')
  const before = (more.before ?? []).filter((folder) => !present.includes(folder))
  const after = (more.after ?? []).filter((folder) => !present.includes(folder) && !before.includes(folder))
  return [...before, ...present, ...after].join(':')
}
