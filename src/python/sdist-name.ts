import { BuildError } from '../core/errors.ts'
import { normalizeName } from './package-name.ts'
import { tryParseVersion, type Version } from './version.ts'

/** What a source distribution's file name says. */
export interface SdistName {
  readonly filename: string
  /** Normalised. */
  readonly name: string
  readonly version: Version
}

/**
 * Parses a source distribution's file name (`.tar.gz` or `.zip`); the version follows the last hyphen.
 *
 * @throws BuildError REQUIREMENT_INVALID
 * @see PEP 625
 */
export function parseSdistName(filename: string): SdistName {
  const parsed = tryParseSdistName(filename)
  if (parsed === undefined) {
    throw new BuildError('REQUIREMENT_INVALID', `Not the name of a source distribution: \`${filename}\``, {
      hint: 'It looks like name-1.0.tar.gz or name-1.0.zip.',
    })
  }
  return parsed
}

/** As {@link parseSdistName}, but answers `undefined` for another kind of name. */
function tryParseSdistName(filename: string): SdistName | undefined {
  const stem = /^(.+)-([^-]+)\.(?:tar\.gz|zip)$/s.exec(filename)
  const version = tryParseVersion(stem?.[2] ?? '')
  if (stem?.[1] === undefined || version === undefined) return undefined
  return { filename, name: normalizeName(stem[1]), version }
}
