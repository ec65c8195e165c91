import type { Relation } from './dependency.ts'
import { isVersionAccepted } from './dependency.ts'
import { LineTable, type PackagesIndex } from './line-table.ts'
import { PackageRecord } from './package-record.ts'
import { compareDebianVersions } from './version.ts'

/** An index of lines in the form that `fetchIndex` gives. */
export function indexOfLines(archive: string, lines: readonly string[]): PackagesIndex {
  return { archive, text: Buffer.from(lines.map((line) => `${line}\n`).join(''), 'latin1') }
}

/** All that can be installed, by name and by what it provides. */
export interface Universe {
  /** Versions of a package, newest first. */
  versionsOf(name: string): readonly PackageRecord[]
  /** The version that would be installed: the newest, unless it is pinned. */
  candidateOf(name: string): PackageRecord | undefined
  /** Candidates that provide a name and fit the relation, in the order of preference; not those of that very name. */
  providersOf(relation: Relation): readonly PackageRecord[]
  names(): Iterable<string>
  /** Names of packages that are Essential or of priority `required`, sorted. */
  requiredNames(): readonly string[]
  /** The same packages with exact versions of some as candidates. */
  pinned(versions: ReadonlyMap<string, string>): Universe
}

const PRIORITIES = ['required', 'important', 'standard', 'optional', 'extra']

/**
 * Makes a universe of indexes; among equal versions the earlier index wins. It depends on the indexes alone: `pinned`
 * makes one for a request out of it.
 */
export function makeUniverse(indexes: readonly PackagesIndex[]): Universe {
  const table = new LineTable(indexes)
  const records = new Map<string, readonly PackageRecord[]>()
  const versionsOf = (name: string): readonly PackageRecord[] => {
    const known = records.get(name)
    if (known !== undefined) return known
    const found = table
      .linesOf(name)
      .map(({ line, archive, rank }) => new PackageRecord(line, archive, rank))
      .sort((a, b) => compareDebianVersions(b.version, a.version) || a.rank - b.rank)
    records.set(name, found)
    return found
  }
  return universeOf(table, versionsOf)
}

function universeOf(
  table: LineTable,
  versionsOf: Universe['versionsOf'],
  pins: ReadonlyMap<string, string> = new Map(),
): Universe {
  const candidateOf = (name: string): PackageRecord | undefined => {
    const pin = pins.get(name)
    const versions = versionsOf(name)
    return pin === undefined ? versions[0] : versions.find((record) => record.version === pin)
  }
  const isRequired = (record: PackageRecord | undefined): boolean =>
    record !== undefined && (record.isEssential || record.field('priority') === 'required')
  return {
    versionsOf,
    candidateOf,
    names: () => table.names(),
    requiredNames: () =>
      table
        .namesOfRequired()
        .filter((name) => isRequired(candidateOf(name)))
        .sort(),
    providersOf: (relation) =>
      table
        .namesOfProviders(relation.name)
        .map(candidateOf)
        .filter((record) => record !== undefined)
        .filter((record) => record.name !== relation.name && isProvidedBy(record, relation))
        .sort(byPreference),
    pinned: (versions) => universeOf(table, versionsOf, versions),
  }
}

/**
 * Tells whether a package of another name stands in for a relation through its Provides.
 *
 * @see Debian Policy 7.5: only a versioned Provides satisfies a versioned relation
 */
export function isProvidedBy(record: PackageRecord, relation: Relation): boolean {
  return record.clauses('provides').some((clause) =>
    clause.some((promise) => {
      if (promise.name !== relation.name) return false
      if (relation.operator === undefined) return true
      return promise.version !== undefined && isVersionAccepted(relation, promise.version)
    }),
  )
}

// As apt's CompareProviders: essential first, then the higher priority, then by name.
function byPreference(a: PackageRecord, b: PackageRecord): number {
  return (
    Number(b.isEssential) - Number(a.isEssential) ||
    priority(a) - priority(b) ||
    (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  )
}

function priority(record: PackageRecord): number {
  const position = PRIORITIES.indexOf(record.field('priority'))
  return position === -1 ? PRIORITIES.length : position
}
