import { isVersionInRelation, parseDebianVersion, type VersionOperator } from './version.ts'

/** One package name with its conditions: `libc6 (>= 2.36)`, `python3:any`. */
export interface Relation {
  readonly name: string
  /** `any`, `native` or an architecture after the colon; undefined when none is given. */
  readonly qualifier?: string | undefined
  readonly operator?: VersionOperator | undefined
  readonly version?: string | undefined
}

/** Alternatives, preferred first: `a | b`. One of them satisfies the clause. */
export type Clause = readonly Relation[]

const RELATION =
  /^([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s()]+)\s*\))?\s*(?:\[[^\]]*\])?\s*(?:<[^>]*>\s*)*$/i

/**
 * Parses a relationship field such as `Depends`.
 *
 * @throws RangeError when the field does not follow the grammar
 * @see Debian Policy 7.1
 */
export function parseDependencies(field: string): Clause[] {
  return field
    .split(',')
    .map((clause) => clause.trim())
    .filter((clause) => clause !== '')
    .map((clause) => clause.split('|').map(parseRelation))
}

/** Parses one relation. @throws RangeError when it does not follow the grammar */
export function parseRelation(text: string): Relation {
  // Several parts of the expression take white space: a long run of it would be tried in every split.
  const match = RELATION.exec(text.trim().replaceAll(/\s{2,}/g, ' '))
  if (match === null) throw new RangeError(`Not a package relation: ${text.trim().slice(0, 120)}`)
  const [, name = '', qualifier, operator, version] = match
  if (version !== undefined) parseDebianVersion(version)
  return {
    name: name.toLowerCase(),
    ...(qualifier === undefined ? {} : { qualifier }),
    ...(operator === undefined || version === undefined ? {} : { operator: modern(operator), version }),
  }
}

// Policy 7.1: the old `<` and `>` mean "or equal".
function modern(operator: string): VersionOperator {
  if (operator === '<') return '<='
  if (operator === '>') return '>='
  return operator as VersionOperator
}

/** Writes a relation as it stands in a control file. */
export function formatRelation(relation: Relation): string {
  const qualifier = relation.qualifier === undefined ? '' : `:${relation.qualifier}`
  const version = relation.operator === undefined ? '' : ` (${relation.operator} ${relation.version})`
  return `${relation.name}${qualifier}${version}`
}

/** Writes alternatives as they stand in a control file. */
export function formatClause(clause: Clause): string {
  return clause.map(formatRelation).join(' | ')
}

/** Tells whether a version fits the relation's condition; a relation without one takes every version. */
export function isVersionAccepted(relation: Relation, version: string): boolean {
  if (relation.operator === undefined || relation.version === undefined) return true
  return isVersionInRelation(version, relation.operator, relation.version)
}
