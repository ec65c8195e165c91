/** What a step is given, or a pipeline gives: references with constants, lists and mappings around them. */
export type PipelineValue =
  /** A step, `input` or `item`, then keys and indexes into it. */
  | { readonly ref: Reference }
  | { readonly const: unknown }
  | { readonly object: Readonly<Record<string, PipelineValue>> }
  | { readonly list: readonly PipelineValue[] }

/** At least one part; the first is a name. */
export type Reference = readonly [string, ...(string | number)[]]

const PART = /\.([A-Za-z0-9_-]+)|\[(\d{1,9})\]|\.?\["((?:[^"\\]|\\["\\])*)"\]/y

/**
 * Reads a reference: `$.input.image`, `$.detect.boxes[0].x`; a key of other characters stands in brackets and quotes, as in
 * `$.detect["a key"]`.
 *
 * @returns undefined when it is not written so
 */
export function parseReference(text: string): Reference | undefined {
  const parts: (string | number)[] = []
  PART.lastIndex = 1
  while (PART.lastIndex < text.length) {
    const [, key, index, quoted] = PART.exec(text) ?? []
    if (key !== undefined) parts.push(key)
    else if (index !== undefined) parts.push(Number(index))
    else if (quoted !== undefined) parts.push(quoted.replaceAll(/\\(["\\])/g, '$1'))
    else return undefined
  }
  const [first, ...rest] = parts
  return typeof first === 'string' ? [first, ...rest] : undefined
}

/** Writes a reference as it stands in a cog.yaml. */
export function formatReference(reference: Reference): string {
  const parts = reference.map((part, place) => {
    if (typeof part === 'number') return `[${part}]`
    if (/^[A-Za-z0-9_-]+$/.test(part)) return `.${part}`
    return `${place === 0 ? '.' : ''}["${part.replaceAll(/["\\]/g, '\\$&')}"]`
  })
  return `$${parts.join('')}`
}

/** Whether a text is meant as a reference: one that begins with `$.`; `$$.` writes a text that does. */
export function isReference(text: string): boolean {
  return text.startsWith('$.')
}

/** Reads a value; a text that is no good reference, which the checks have told of, is taken as it stands. */
export function parseValue(plain: unknown): PipelineValue {
  if (typeof plain === 'string') {
    const ref = isReference(plain) ? parseReference(plain) : undefined
    return ref === undefined ? { const: plain.startsWith('$$.') ? plain.slice(1) : plain } : { ref }
  }
  if (typeof plain !== 'object' || plain === null) return { const: plain }
  const value: PipelineValue = Array.isArray(plain)
    ? { list: plain.map(parseValue) }
    : { object: Object.fromEntries(Object.entries(plain).map(([key, inner]) => [key, parseValue(inner)])) }
  // What holds no reference is a constant as a whole.
  const inner = 'list' in value ? value.list : Object.values(value.object)
  return inner.every((one): one is { const: unknown } => 'const' in one) ? { const: constantOf(value) } : value
}

function constantOf(value: PipelineValue): unknown {
  if ('const' in value) return value.const
  if ('list' in value) return value.list.map(constantOf)
  if ('object' in value)
    return Object.fromEntries(Object.entries(value.object).map(([key, inner]) => [key, constantOf(inner)]))
  throw new TypeError('A reference is no constant')
}

/** Every reference in a value, with its place below the value. */
export function referencesIn(
  value: PipelineValue,
  path: readonly (string | number)[] = [],
): readonly (readonly [Reference, readonly (string | number)[]])[] {
  if ('ref' in value) return [[value.ref, path]]
  if ('list' in value) return value.list.flatMap((inner, index) => referencesIn(inner, [...path, index]))
  if ('object' in value)
    return Object.entries(value.object).flatMap(([key, inner]) => referencesIn(inner, [...path, key]))
  return []
}
