/**
 * Writes JSON with object keys in code-unit order, no white space: equal values give equal bytes.
 *
 * @throws TypeError for values that JSON cannot hold (functions, undefined at the top, bigint)
 */
export function canonicalJson(value: unknown): string {
  const text = write(value)
  if (text === undefined) throw new TypeError('The value has no JSON form')
  return text
}

/** Text, and no sorted copy that is then written: of a project with many files the copies cost most. */
function write(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map((member) => write(member) ?? 'null').join(',')}]`
  const members: string[] = []
  for (const key of Object.keys(value).sort()) {
    const member = write((value as Record<string, unknown>)[key])
    if (member !== undefined) members.push(`${JSON.stringify(key)}:${member}`)
  }
  return `{${members.join(',')}}`
}

/**
 * Tells whether objects and arrays lie in each other more than so many levels deep.
 *
 * JSON is read at any depth, but what walks the value afterwards is not: a few kilobytes of `[` end it with a full stack.
 */
export function isDeeperThan(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((member) => isDeeperThan(levels - 1, member))
}
