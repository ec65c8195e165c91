import type { Relation } from './dependency.ts'
import { isVersionAccepted } from './dependency.ts'
import { PackageRecord, providesOf } from './package-record.ts'
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
  /** All candidates. */
  candidates(): Iterable<PackageRecord>
}

const PRIORITIES = ['required', 'important', 'standard', 'optional', 'extra']

/**
 * Makes a universe of indexes; among equal versions the earlier index wins.
 *
 * @param pins  exact versions that were asked for, by package
 */
export function makeUniverse(indexes: readonly IndexLines[], pins: ReadonlyMap<string, string> = new Map()): Universe {
  const byName = new Map<string, PackageRecord[]>()
  const providers = new Map<string, Set<string>>()
  for (const [rank, index] of indexes.entries()) {
    for (const line of index.lines) {
      const record = new PackageRecord(line, index.archive, rank)
      const versions = byName.get(record.name)
      if (versions === undefined) byName.set(record.name, [record])
      else versions.push(record)
      if (providesOf(line) !== '') notePromises(record, providers)
    }
  }
  const sorted = new Set<string>()
  const versionsOf = (name: string): readonly PackageRecord[] => {
    const versions = byName.get(name)
    if (versions === undefined) return []
    if (versions.length > 1 && !sorted.has(name)) {
      versions.sort((a, b) => compareDebianVersions(b.version, a.version) || a.rank - b.rank)
      sorted.add(name)
    }
    return versions
  }
  const candidateOf = (name: string): PackageRecord | undefined => {
    const pin = pins.get(name)
    const versions = versionsOf(name)
    return pin === undefined ? versions[0] : versions.find((record) => record.version === pin)
  }
  return {
    versionsOf,
    candidateOf,
    names: () => byName.keys(),
    candidates: function* () {
      for (const name of byName.keys()) {
        const candidate = candidateOf(name)
        if (candidate !== undefined) yield candidate
      }
    },
    providersOf: (relation) =>
      [...(providers.get(relation.name) ?? [])]
        .map(candidateOf)
        .filter((record) => record !== undefined)
        .filter((record) => record.name !== relation.name && isProvidedBy(record, relation))
        .sort(byPreference),
  }
}

function notePromises(record: PackageRecord, providers: Map<string, Set<string>>): void {
  for (const clause of record.clauses('provides')) {
    for (const promise of clause) {
      const known = providers.get(promise.name)
      if (known === undefined) providers.set(promise.name, new Set([record.name]))
      else known.add(record.name)
    }
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
