/** A part of something: from `start` up to but without `end`. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * Reads a `Range` header of a download.
 *
 * @returns `whole` when there is none or one that may be ignored (other units, several ranges), `unsatisfiable` when
 *   no byte of it exists. A range whose end lies before its start is unsatisfiable too: RFC 9110 would ignore it, the
 *   conformance suite wants 416.
 */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | 'whole' | 'unsatisfiable' {
  const match = /^\s*bytes\s*=\s*(\d*)-(\d*)\s*$/i.exec(header ?? '')
  if (match === null) return 'whole'
  const [, first = '', last = ''] = match
  if (first === '' && last === '') return 'whole'
  const start = first === '' ? Math.max(0, sizeBytes - Number(last)) : Number(first)
  const end = first === '' || last === '' ? sizeBytes : Math.min(sizeBytes, Number(last) + 1)
  return start < end ? { start, end } : 'unsatisfiable'
}

/**
 * Reads the `Content-Range` of an uploaded chunk, `<start>-<end>` with both ends included (distribution-spec, "Pushing
 * a blob in chunks"); HTTP's own form `bytes <start>-<end>/<total>` is understood too.
 *
 * @returns undefined when it is malformed
 */
export function parseContentRange(header: string): ByteRange | undefined {
  const match = /^\s*(?:bytes\s+)?(\d+)-(\d+)(?:\/(?:\d+|\*))?\s*$/i.exec(header)
  if (match === null) return undefined
  const range = { start: Number(match[1]), end: Number(match[2]) + 1 }
  return range.start < range.end && Number.isSafeInteger(range.end) ? range : undefined
}
