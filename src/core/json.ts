/**
 * Writes JSON with object keys in code-unit order, no white space: equal values give equal bytes.
 *
 * @throws TypeError for values that JSON cannot hold (functions, undefined at the top, bigint)
 */
export function canonicalJson(value: unknown): string {
  const text = JSON.stringify(sortKeys(value))
  if (text === undefined) throw new TypeError('The value has no JSON form')
  return text
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, member]) => member !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return Object.fromEntries(entries.map(([key, member]) => [key, sortKeys(member)]))
}
