/** Longest path and part that Linux takes, in bytes. */
const MAX_PATH_BYTES = 4095
const MAX_PART_BYTES = 255

/**
 * Says why a path from an archive may not be laid under a folder; undefined when it may.
 *
 * Safe is: relative, `/` between non-empty parts, no `.` or `..`, no backslash, no drive letter, no control character.
 *
 * @param path without the trailing slash of a directory
 * @returns a clause that follows the quoted path, such as `is absolute`
 */
export function pathProblem(path: string): string | undefined {
  if (path === '') return 'is empty'
  // oxlint-disable-next-line no-control-regex -- finding control characters is the point
  if (/[\x00-\x1f\x7f]/.test(path)) return 'holds a control character'
  if (path.includes('\\')) return 'holds a backslash'
  if (path.startsWith('/')) return 'is absolute'
  if (/^[A-Za-z]:/.test(path)) return 'starts with a drive letter'
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `is longer than ${MAX_PATH_BYTES} bytes`
  for (const part of path.split('/')) {
    if (part === '' || part === '.') return 'has an empty part'
    if (part === '..') return 'leaves the folder it is laid in'
    if (Buffer.byteLength(part) > MAX_PART_BYTES) return `has a part longer than ${MAX_PART_BYTES} bytes`
  }
  return undefined
}
