import { BuildError } from '../core/errors.ts'
import { normalizeName } from './package-name.ts'
import { Scanner } from './scanner.ts'
import { matchesSpecifier, parseSpecifier, type Specifier } from './specifier.ts'
import { tryParseVersion, type Version } from './version.ts'

/** A PEP 508 marker. `isGrouped` remembers parentheses, so that a marker prints as it was written. */
export type Marker =
  | {
      readonly kind: 'compare'
      readonly left: MarkerOperand
      readonly operator: MarkerOperator
      readonly right: MarkerOperand
    }
  | { readonly kind: 'all' | 'any'; readonly parts: readonly Marker[]; readonly isGrouped: boolean }

/** One side of a comparison: a variable of the environment or a string. */
export type MarkerOperand =
  | { readonly kind: 'variable'; readonly name: MarkerVariable }
  | { readonly kind: 'value'; readonly value: string }

/** How two sides are compared. */
export type MarkerOperator = '===' | '==' | '~=' | '!=' | '<=' | '>=' | '<' | '>' | 'in' | 'not in'

/** The variables of the environment that have one string as value. */
export type EnvironmentVariable =
  | 'implementation_name'
  | 'implementation_version'
  | 'os_name'
  | 'platform_machine'
  | 'platform_python_implementation'
  | 'platform_release'
  | 'platform_system'
  | 'platform_version'
  | 'python_full_version'
  | 'python_version'
  | 'sys_platform'

/** Every variable a marker may name. `extras` and `dependency_groups` are sets and belong to lock files (PEP 751). */
export type MarkerVariable = EnvironmentVariable | 'extra' | 'extras' | 'dependency_groups'

/** Values of all variables; a variable that is left out is unknown there, and naming it is an error. */
export type MarkerEnvironment = Readonly<Record<EnvironmentVariable, string>> & {
  readonly extra?: string
  readonly extras?: readonly string[]
  readonly dependency_groups?: readonly string[]
}

const VARIABLE =
  /\b(?:python_version|python_full_version|os[._]name|sys[._]platform|platform_(?:release|system)|platform[._](?:version|machine|python_implementation)|python_implementation|implementation_(?:name|version)|extras?|dependency_groups)\b/y
const STRING = /'[^']*'|"[^"]*"/y
const OPERATOR = /===|==|~=|!=|<=|>=|<|>/y
const IN = /\bin\b/y
const NOT = /\bnot\b/y
const BOOLEAN = /\b(?:or|and)\b/y
const OPEN = /\(/y
const CLOSE = /\)/y
const SPACE = /[ \t]+/y

const VERSION_VARIABLES: ReadonlySet<string> = new Set([
  'implementation_version',
  'platform_release',
  'python_full_version',
  'python_version',
])

/**
 * Parses a marker.
 *
 * @throws BuildError REQUIREMENT_INVALID
 * @see PEP 508, "Environment markers"
 */
export function parseMarker(text: string): Marker {
  const scanner = new Scanner(text)
  const marker = scanMarker(scanner)
  if (!scanner.isAtEnd) scanner.fail('the end of the marker')
  return marker
}

/** Reads a marker from where a scanner stands; the requirement grammar continues after it. */
export function scanMarker(scanner: Scanner): Marker {
  const alternatives: Marker[][] = [[scanAtom(scanner)]]
  for (let word = scanner.take(BOOLEAN); word !== undefined; word = scanner.take(BOOLEAN)) {
    if (word === 'or') alternatives.push([])
    alternatives.at(-1)?.push(scanAtom(scanner))
  }
  return join(
    'any',
    alternatives.map((parts) => join('all', parts)),
  )
}

/** Writes a marker with single spaces and double quotes where possible; parentheses stay as written. */
export function formatMarker(marker: Marker): string {
  if (marker.kind === 'compare') {
    return `${formatOperand(marker.left)} ${marker.operator} ${formatOperand(marker.right)}`
  }
  return marker.parts.map(formatPart).join(marker.kind === 'all' ? ' and ' : ' or ')
}

/**
 * Tells whether a marker holds in an environment.
 *
 * @throws BuildError REQUIREMENT_INVALID for a variable that the environment does not know, and for an order of
 *   strings that are no versions by `~=` or `===`
 */
export function evaluateMarker(marker: Marker, environment: MarkerEnvironment): boolean {
  // Every part is evaluated, as pypa/packaging does: a senseless comparison is an error wherever it stands.
  if (marker.kind !== 'compare') {
    const results = marker.parts.map((part) => evaluateMarker(part, environment))
    return marker.kind === 'all' ? results.every(Boolean) : results.some(Boolean)
  }
  const key = variableOf(marker)
  const left = valueOf(marker.left, environment, marker)
  const right = valueOf(marker.right, environment, marker)
  if (typeof left !== 'string') return undefinedComparison(marker)
  if (typeof right !== 'string') return contains(marker, right.map(normalizeName), normalizeName(left))
  return compareValues(marker, key, left, right)
}

function compareValues(
  marker: Marker & { kind: 'compare' },
  key: MarkerVariable | undefined,
  left: string,
  right: string,
): boolean {
  const { operator } = marker
  if (key !== undefined && VERSION_VARIABLES.has(key)) {
    const specifier = tryParseSpecifier(operator, right)
    if (specifier !== undefined) return matchesSpecifier(specifier, parseOnce(left), left)
  }
  switch (operator) {
    case 'in':
    case 'not in':
      return contains(marker, right, left)
    case '==':
    case '<=':
    case '>=':
      return left === right
    case '!=':
      return left !== right
    case '<':
    case '>':
      return false
    case '~=':
    case '===':
      return undefinedComparison(marker)
  }
}

function contains(marker: Marker & { kind: 'compare' }, whole: string | readonly string[], part: string): boolean {
  if (marker.operator === 'in') return whole.includes(part)
  if (marker.operator === 'not in') return !whole.includes(part)
  return undefinedComparison(marker)
}

function undefinedComparison(marker: Marker): never {
  throw new BuildError('REQUIREMENT_INVALID', `This comparison has no meaning in a marker: \`${formatMarker(marker)}\``)
}

function valueOf(operand: MarkerOperand, environment: MarkerEnvironment, marker: Marker): string | readonly string[] {
  if (operand.kind === 'value') return operand.value
  const value = environment[operand.name]
  if (value === undefined) {
    throw new BuildError(
      'REQUIREMENT_INVALID',
      `The marker variable \`${operand.name}\` has no value here: \`${formatMarker(marker)}\``,
    )
  }
  if (operand.name === 'extra' && typeof value === 'string') return normalizeName(value)
  // A CPython built between two releases calls itself `3.13.0+`, which is no version.
  return operand.name === 'python_full_version' && typeof value === 'string' ? value.replace(/\+$/, '+local') : value
}

function variableOf(marker: Marker & { kind: 'compare' }): MarkerVariable | undefined {
  if (marker.left.kind === 'variable') return marker.left.name
  return marker.right.kind === 'variable' ? marker.right.name : undefined
}

function tryParseSpecifier(operator: MarkerOperator, version: string): Specifier | undefined {
  const key = operator + version
  let specifier = specifiers.get(key)
  if (specifier === undefined && !specifiers.has(key)) {
    try {
      specifier = operator === 'in' || operator === 'not in' ? undefined : parseSpecifier(key)
    } catch (error) {
      if (!(error instanceof BuildError)) throw error
    }
    if (specifiers.size > 10_000) specifiers.clear()
    specifiers.set(key, specifier)
  }
  return specifier
}

const versions = new Map<string, Version | undefined>()

function parseOnce(text: string): Version | undefined {
  if (!versions.has(text)) {
    if (versions.size > 1000) versions.clear()
    versions.set(text, tryParseVersion(text))
  }
  return versions.get(text)
}

/** A closure of a hundred packages asks `python_version < "3.9"` a thousand times. */
const specifiers = new Map<string, Specifier | undefined>()

function scanAtom(scanner: Scanner): Marker {
  scanner.skipSpace()
  let marker: Marker
  if (scanner.take(OPEN) === undefined) {
    marker = scanComparison(scanner)
  } else {
    const inner = scanMarker(scanner)
    marker = inner.kind === 'compare' ? inner : { ...inner, isGrouped: true }
    scanner.expect(CLOSE, 'a closing parenthesis')
  }
  scanner.skipSpace()
  return marker
}

function scanComparison(scanner: Scanner): Marker {
  const left = scanOperand(scanner)
  scanner.skipSpace()
  const operator = scanOperator(scanner)
  scanner.skipSpace()
  const right = scanOperand(scanner)
  return { kind: 'compare', left: withExtraName(left, right), operator, right: withExtraName(right, left) }
}

function scanOperand(scanner: Scanner): MarkerOperand {
  const variable = scanner.take(VARIABLE)?.replace('.', '_')
  if (variable !== undefined) {
    const name = variable === 'python_implementation' ? 'platform_python_implementation' : variable
    return { kind: 'variable', name: name as MarkerVariable }
  }
  const what = 'a marker variable or a quoted string'
  if (!scanner.sees(STRING)) return scanner.fail(what)
  const value = unescapePython(scanner.expect(STRING, what).slice(1, -1))
  return value === undefined ? scanner.fail('a string without broken escapes before this') : { kind: 'value', value }
}

function scanOperator(scanner: Scanner): MarkerOperator {
  if (scanner.take(IN) !== undefined) return 'in'
  if (scanner.take(NOT) !== undefined) {
    scanner.expect(SPACE, 'white space after `not`')
    scanner.expect(IN, '`in` after `not`')
    return 'not in'
  }
  return scanner.expect(OPERATOR, 'one of <= < != == >= > ~= === in, not in') as MarkerOperator
}

/** Names of extras and groups are compared in normal form. @see PEP 685 */
function withExtraName(operand: MarkerOperand, other: MarkerOperand): MarkerOperand {
  const isName =
    operand.kind === 'value' &&
    other.kind === 'variable' &&
    (other.name === 'extra' || other.name === 'extras' || other.name === 'dependency_groups')
  return isName ? { kind: 'value', value: normalizeName(operand.value) } : operand
}

function join(kind: 'all' | 'any', parts: readonly Marker[]): Marker {
  const [first] = parts
  return parts.length === 1 && first !== undefined ? first : { kind, parts, isGrouped: false }
}

function formatPart(part: Marker): string {
  const text = formatMarker(part)
  return part.kind !== 'compare' && part.isGrouped ? `(${text})` : text
}

function formatOperand(operand: MarkerOperand): string {
  if (operand.kind === 'variable') return operand.name
  return operand.value.includes('"') ? `'${operand.value}'` : `"${operand.value}"`
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

/** The value of a Python string literal's inside; undefined when Python would refuse it. */
function unescapePython(text: string): string | undefined {
  if (/[\n\r]/.test(text.replaceAll('\\\n', ''))) return undefined
  let isBroken = false
  const value = text.replace(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|([^])|$)/g,
    (whole, x?: string, u?: string, wide?: string, octal?: string, single?: string) => {
      const hex = x ?? u ?? wide
      if (hex !== undefined) {
        const code = Number.parseInt(hex, 16)
        isBroken ||= code > 0x10ffff
        return code > 0x10ffff ? '' : String.fromCodePoint(code)
      }
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8))
      isBroken ||= single === undefined || 'xuUN'.includes(single)
      return single === undefined ? '' : (ESCAPES[single] ?? whole)
    },
  )
  return isBroken ? undefined : value
}
