import { BuildError } from '../core/errors.ts'

const NAME = /^(?:[A-Z0-9]|[A-Z0-9][A-Z0-9._-]*[A-Z0-9])$/i

/** The normal form of a package's or extra's name: lower case, runs of `-`, `_` and `.` as one `-`. @see PEP 503 */
export function normalizeName(name: string): string {
  return name.replace(/[-_.]+/g, '-').toLowerCase()
}

/** Tells whether text is a name at all: letters, digits, `.`, `_` and `-`, starting and ending with a letter or digit. */
function isPackageName(text: string): boolean {
  return NAME.test(text)
}

/**
 * Parses a package's name into its normal form.
 *
 * @throws BuildError REQUIREMENT_INVALID
 */
export function parsePackageName(text: string): string {
  if (!isPackageName(text)) {
    throw new BuildError('REQUIREMENT_INVALID', `Not a package name: \`${text}\``, {
      hint: 'A name has letters, digits, dots, underscores and hyphens, and starts and ends with a letter or digit.',
    })
  }
  return normalizeName(text)
}
