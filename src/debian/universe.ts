import type { Relation } from './dependency.ts'
import { isVersionAccepted, parseDependencies } from './dependency.ts'
import { fieldOf, PackageRecord } from './package-record.ts'
import { compareDebianVersions } from './version.ts'

/** Lines of one slim index and where its files lie. */
export interface IndexLines {
  readonly archive: string
  readonly lines: readonly string[]
}

/** All that can be installed, by name and by what it provides. */
export interface Universe {
  /** Versions of a package, newest first. */
  versionsOf(name: string): readonly PackageRecord[]
  /** The version that would be installed: the newest, unless the request pins one. */
  candidateOf(name: string): PackageRecord | undefined
  /** Candidates that provide a name and fit the relation, in the order of preference; not those of that very name. */
  providersOf(relation: Relation): readonly PackageRecord[]
  names(): Iterable<string>
  /** Names of packages that are Essential or of priority `required`, sorted. */
  requiredNames(): readonly string[]
}

const PRIORITIES = ['required', 'important', 'standard', 'optional', 'extra']

/** Where a line stands: an index of thousands of packages is kept as lines, and read where a request leads. */
interface Place {
  readonly rank: number
  readonly line: string
}

/**
 * Makes a universe of indexes; among equal versions the earlier index wins.
 *
 * @param pins  exact versions that were asked for, by package
 */
export function makeUniverse(indexes: readonly IndexLines[], pins: ReadonlyMap<string, string> = new Map()): Universe {
  const places = new Map<string, Place | Place[]>()
  const providers = new Map<string, Set<string>>()
  const required = new Set<string>()
  for (const [rank, { lines }] of indexes.entries()) {
    for (const line of lines) {
      const name = line.slice(0, line.indexOf('\t'))
      const known = places.get(name)
      if (known === undefined) places.set(name, { rank, line })
      else if (Array.isArray(known)) known.push({ rank, line })
      else places.set(name, [known, { rank, line }])
      const provides = fieldOf(line, 'provides')
      if (provides !== '') notePromises(name, provides, providers)
      if (fieldOf(line, 'priority') === 'required' || fieldOf(line, 'essential') === 'yes') required.add(name)
    }
  }
  const records = new Map<string, readonly PackageRecord[]>()
  const versionsOf = (name: string): readonly PackageRecord[] => {
    const known = records.get(name)
    if (known !== undefined) return known
    const found = [places.get(name) ?? []]
      .flat()
      .map(({ rank, line }) => new PackageRecord(line, indexes[rank]?.archive ?? '', rank))
      .sort((a, b) => compareDebianVersions(b.version, a.version) || a.rank - b.rank)
    records.set(name, found)
    return found
  }
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
    names: () => places.keys(),
    requiredNames: () => [...required].filter((name) => isRequired(candidateOf(name))).sort(),
    providersOf: (relation) =>
      [...(providers.get(relation.name) ?? [])]
        .map(candidateOf)
        .filter((record) => record !== undefined)
        .filter((record) => record.name !== relation.name && isProvidedBy(record, relation))
        .sort(byPreference),
  }
}

function notePromises(name: string, provides: string, providers: Map<string, Set<string>>): void {
  for (const promise of parseDependencies(provides).flat()) {
    const known = providers.get(promise.name)
    if (known === undefined) providers.set(promise.name, new Set([name]))
    else known.add(name)
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
