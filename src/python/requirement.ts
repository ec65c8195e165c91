import { BuildError } from '../core/errors.ts'
import { maskUrl } from '../core/http.ts'
import { formatMarker, scanMarker, type Marker } from './marker.ts'
import { normalizeName } from './package-name.ts'
import { Scanner } from './scanner.ts'
import { formatSpecifiers, parseSpecifiers, SPECIFIER_SOURCE, type SpecifierSet } from './specifier.ts'

/** One PEP 508 dependency. */
export interface Requirement {
  /** Normalised. */
  readonly name: string
  /** As written. */
  readonly displayName: string
  /** As written, in their order, without repetitions; compare them normalised. */
  readonly extras: readonly string[]
  readonly specifiers: SpecifierSet
  readonly url: string | undefined
  readonly marker: Marker | undefined
}

const NAME = /[a-zA-Z0-9](?:[a-zA-Z0-9._-]*[a-zA-Z0-9_])?(?![\p{L}\p{N}_])/uy
const EXTRA = NAME
const SPECIFIER = new RegExp(SPECIFIER_SOURCE, 'iy')
const PREFIX_TRAIL = /\.\*/y
const LOCAL_TRAIL = /\+[a-z0-9]+/iy
const URL_TEXT = /[^ \t]+/y
const AT = /@/y
const COMMA = /,/y
const SEMICOLON = /;/y
const OPEN = /\(/y
const CLOSE = /\)/y
const OPEN_BRACKET = /\[/y
const CLOSE_BRACKET = /\]/y
const SPACE = /[ \t]+/y

/**
 * Parses a requirement such as `torch[opt]>=2.1,<3 ; python_version >= "3.9"` or `name @ https://...`.
 *
 * @throws BuildError REQUIREMENT_INVALID, naming the column
 * @see PEP 508
 */
export function parseRequirement(text: string): Requirement {
  const scanner = new Scanner(text)
  scanner.skipSpace()
  const displayName = scanner.expect(NAME, 'a package name')
  scanner.skipSpace()
  const extras = scanExtras(scanner)
  scanner.skipSpace()
  const url = scanUrl(scanner)
  const specifiers = url === undefined ? parseSpecifiers(scanSpecifiers(scanner)) : []
  scanner.skipSpace()
  const marker = scanMarkerPart(scanner, url)
  return { name: normalizeName(displayName), displayName, extras, specifiers, url, marker }
}

/** Writes a requirement in the spelling of pypa/packaging: sorted extras and specifiers, one space before a marker. */
export function formatRequirement(requirement: Requirement): string {
  const extras = requirement.extras.length === 0 ? '' : `[${[...requirement.extras].sort().join(',')}]`
  const url = requirement.url === undefined ? '' : ` @ ${requirement.url}`
  const marker = requirement.marker === undefined ? '' : `; ${formatMarker(requirement.marker)}`
  const gap = url !== '' && marker !== '' ? ' ' : ''
  return requirement.displayName + extras + formatSpecifiers(requirement.specifiers) + url + gap + marker
}

function scanExtras(scanner: Scanner): readonly string[] {
  if (scanner.take(OPEN_BRACKET) === undefined) return []
  scanner.skipSpace()
  const extras = new Set<string>()
  let extra = scanner.take(EXTRA)
  while (extra !== undefined) {
    extras.add(extra)
    scanner.skipSpace()
    if (scanner.take(COMMA) === undefined) break
    scanner.skipSpace()
    extra = scanner.expect(EXTRA, 'the name of an extra after the comma')
  }
  scanner.skipSpace()
  scanner.expect(CLOSE_BRACKET, 'a closing bracket after the extras')
  return [...extras]
}

function scanUrl(scanner: Scanner): string | undefined {
  if (scanner.take(AT) === undefined) return undefined
  scanner.skipSpace()
  const url = scanner.expect(URL_TEXT, 'a URL after `@`')
  if (!scanner.isAtEnd) scanner.expect(SPACE, 'white space after the URL')
  assertAddress(url)
  return url
}

/** Refuses an address that cannot be one; paths are no addresses. @throws BuildError REQUIREMENT_INVALID */
export function assertAddress(text: string): void {
  if (/^(?:https?|file|ftp):/i.test(text) && !URL.canParse(text))
    throw new BuildError('REQUIREMENT_INVALID', `Not an address: \`${maskUrl(text)}\``)
}

function scanSpecifiers(scanner: Scanner): string {
  const isOpen = scanner.take(OPEN) !== undefined
  scanner.skipSpace()
  const specifiers: string[] = []
  let specifier = scanner.take(SPECIFIER)
  while (specifier !== undefined) {
    specifiers.push(specifier)
    if (scanner.sees(PREFIX_TRAIL)) scanner.fail('a version without `.*`, which only `==` and `!=` with a release take')
    if (scanner.sees(LOCAL_TRAIL)) scanner.fail('a version without local part, which only `==` and `!=` take')
    scanner.skipSpace()
    if (scanner.take(COMMA) === undefined) break
    scanner.skipSpace()
    specifier = scanner.take(SPECIFIER)
  }
  scanner.skipSpace()
  if (isOpen) scanner.expect(CLOSE, 'a closing parenthesis after the versions')
  return specifiers.join(',')
}

function scanMarkerPart(scanner: Scanner, url: string | undefined): Marker | undefined {
  if (scanner.isAtEnd) return undefined
  scanner.expect(
    SEMICOLON,
    url === undefined ? 'a version specifier, a semicolon or the end' : 'a semicolon or the end',
  )
  const marker = scanMarker(scanner)
  scanner.skipSpace()
  if (!scanner.isAtEnd) scanner.fail('the end of the requirement')
  return marker
}
