import { createHash } from 'node:crypto'
import type { Digest } from 'oci-spec-types'

/**
 * Writes JSON with object keys in code-unit order, no white space: equal values give equal bytes. What gives its members one by
 * one is written as an array of them.
 *
 * @throws TypeError for values that JSON cannot hold (functions, undefined at the top, bigint)
 */
export function canonicalJson(value: unknown): string {
  let text = ''
  write(value, (part) => (text += part))
  return text
}

/** Text that is hashed at once. */
const SLICE = 1 << 16

/**
 * The digest of canonical JSON, of which only a part is held at a time: that of a project with many files is as large as its list.
 *
 * @param leftOut  a name whose members count nowhere
 * @throws TypeError as {@link canonicalJson}
 */
export function canonicalDigest(value: unknown, leftOut?: string): Digest {
  const hash = createHash('sha256')
  let text = ''
  write(
    value,
    (part) => {
      text += part
      if (text.length < SLICE) return
      hash.update(text)
      text = ''
    },
    leftOut,
  )
  return `sha256:${hash.update(text).digest('hex')}`
}

/** Text, and no sorted copy that is then written: of a project with many files the copies cost most. */
function write(value: unknown, put: (text: string) => void, leftOut?: string): void {
  if (!hasJson(value)) throw new TypeError('The value has no JSON form')
  if (typeof value !== 'object' || value === null) put(JSON.stringify(value))
  else if (isIterable(value)) {
    let lead = '['
    for (const member of value) {
      put(lead)
      write(hasJson(member) ? member : null, put, leftOut)
      lead = ','
    }
    put(lead === '[' ? '[]' : ']')
  } else {
    let lead = '{'
    for (const key of Object.keys(value).sort()) {
      const member = (value as Record<string, unknown>)[key]
      if (key === leftOut || !hasJson(member)) continue
      put(`${lead}${JSON.stringify(key)}:`)
      write(member, put, leftOut)
      lead = ','
    }
    put(lead === '{' ? '{}' : '}')
  }
}

function isIterable(value: object): value is Iterable<unknown> {
  return Symbol.iterator in value
}

function hasJson(value: unknown): boolean {
  return value !== undefined && typeof value !== 'function' && typeof value !== 'symbol'
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
