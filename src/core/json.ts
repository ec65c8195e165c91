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
