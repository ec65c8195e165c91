/** A Debian version split into its three parts; a missing epoch is 0 and a missing revision is "0" when compared. */
export interface DebianVersion {
  readonly epoch: number
  readonly upstream: string
  readonly revision: string
}

/**
 * Splits `[epoch:]upstream[-revision]`.
 *
 * @throws RangeError when the text is no version
 * @see Debian Policy 5.6.12
 */
export function parseDebianVersion(text: string): DebianVersion {
  const match = /^(?:(\d{1,10}):)?([A-Za-z0-9.+:~-]*?)(?:-([A-Za-z0-9.+~]+))?$/.exec(text)
  // A colon may stand in the upstream part only after an epoch.
  const isEmpty = match?.[2] === undefined || match[2] === '' || (match[1] === undefined && match[2].includes(':'))
  if (match?.[2] === undefined || isEmpty) throw new RangeError(`Not a Debian version: ${text}`)
  return { epoch: Number(match[1] ?? 0), upstream: match[2], revision: match[3] ?? '' }
}

/**
 * Compares two versions as dpkg does.
 *
 * @returns negative, zero or positive
 * @throws RangeError when either is no version
 */
export function compareDebianVersions(a: string, b: string): number {
  if (a === b) return 0
  const left = parseDebianVersion(a)
  const right = parseDebianVersion(b)
  return (
    left.epoch - right.epoch ||
    compareParts(left.upstream, right.upstream) ||
    compareParts(left.revision, right.revision)
  )
}

// Policy 5.6.12: alternate runs of non-digits (letters before others, `~` before the end) and of digits (by value).
function compareParts(a: string, b: string): number {
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    while ((i < a.length && !isDigit(a.charCodeAt(i))) || (j < b.length && !isDigit(b.charCodeAt(j)))) {
      const order = weight(a.charCodeAt(i)) - weight(b.charCodeAt(j))
      if (order !== 0) return order
      i++
      j++
    }
    while (a.charCodeAt(i) === ZERO) i++
    while (b.charCodeAt(j) === ZERO) j++
    let firstDifference = 0
    while (isDigit(a.charCodeAt(i)) && isDigit(b.charCodeAt(j))) {
      firstDifference ||= a.charCodeAt(i) - b.charCodeAt(j)
      i++
      j++
    }
    if (isDigit(a.charCodeAt(i))) return 1
    if (isDigit(b.charCodeAt(j))) return -1
    if (firstDifference !== 0) return firstDifference
  }
  return 0
}

const ZERO = 48

function isDigit(code: number): boolean {
  return code >= ZERO && code <= 57
}

// The end of the text and digits weigh 0; NaN is what charCodeAt gives past the end.
function weight(code: number): number {
  if (Number.isNaN(code) || isDigit(code)) return 0
  if (code === 126) return -1
  const isLetter = (code >= 65 && code <= 90) || (code >= 97 && code <= 122)
  return isLetter ? code : code + 256
}

/** How a dependency compares versions. */
export type VersionOperator = '<<' | '<=' | '=' | '>=' | '>>'

/** Tells whether a version stands in a relation, such as `1.2 >= 1.0`. */
export function isVersionInRelation(version: string, operator: VersionOperator, wanted: string): boolean {
  const order = compareDebianVersions(version, wanted)
  switch (operator) {
    case '<<':
      return order < 0
    case '<=':
      return order <= 0
    case '=':
      return order === 0
    case '>=':
      return order >= 0
    case '>>':
      return order > 0
  }
}
