import { ROOT, resolveIncompatibilities, type Incompatibility, type PackageKey, type Unmet } from './incompatibility.ts'
import { PartialSolution } from './partial-solution.ts'
import { VersionSet } from './version-set.ts'

/** One requirement of a version: which versions of another package it allows. */
export interface Dependency {
  readonly key: PackageKey
  readonly set: VersionSet
  /** In words, for messages: `torch>=2.1`. */
  readonly text: string
  /** Given when the set is empty: why nothing can meet this. */
  readonly unmet?: Unmet | undefined
  /** The version is fixed by `==` or a URL; such packages are decided first. */
  readonly isPinned?: boolean
}

/** What a version requires, or why it cannot be used at all. */
export type Dependencies =
  | { readonly kind: 'known'; readonly dependencies: readonly Dependency[] }
  | { readonly kind: 'unusable'; readonly reason: string }

/** The version to try next, or why none of the set can be used. */
export type Choice =
  | { readonly kind: 'version'; readonly index: number }
  | { readonly kind: 'unusable'; readonly reason: string }

/** What the solver asks about packages. Answers never change while it runs. */
export interface SolverSource {
  /** The best usable version of a set that holds at least one. */
  choose(key: PackageKey, set: VersionSet): Promise<Choice>
  dependencies(key: PackageKey, index: number): Promise<Dependencies>
  /** The package whose version a key with an extra shares; itself for a plain name. */
  baseOf(key: PackageKey): PackageKey
  /** Told about what is tried, in order: a hint for prefetching. */
  tried?(key: PackageKey, set: VersionSet, times: number): void
}

/** A position of a version for every package, or the incompatibility that proves there is none. */
export type Solution =
  | { readonly kind: 'solved'; readonly versions: ReadonlyMap<PackageKey, number> }
  | { readonly kind: 'unsolvable'; readonly proof: Incompatibility }

/**
 * Solves version constraints with the PubGrub algorithm; the same answers of the source give the same solution.
 *
 * Pinned packages are decided first, then packages in the order in which they were discovered, as uv does; packages
 * that keep clashing move to the front.
 *
 * @see Natalie Weizenbaum, "PubGrub: Next-Generation Version Solving"
 */
export async function solve(source: SolverSource, signal?: AbortSignal): Promise<Solution> {
  return new Solver(source).solve(signal)
}

/** Conflicts after which a package is decided earlier, and its culprit later; uv's threshold. */
const CONFLICT_THRESHOLD = 5

class Solver {
  readonly #source: SolverSource
  readonly #solution = new PartialSolution()
  readonly #incompatibilities = new Map<PackageKey, Incompatibility[]>()
  /** Dependencies by dependant and allowed set, to tell about many versions at once. */
  readonly #merged = new Map<string, Incompatibility>()
  readonly #order = new Map<PackageKey, number>()
  readonly #pinned = new Set<PackageKey>()
  readonly #affected = new Map<PackageKey, number>()
  readonly #culprits = new Map<PackageKey, number>()
  readonly #toDelay = new Set<PackageKey>()
  readonly #early = new Set<PackageKey>()
  readonly #late = new Set<PackageKey>()
  readonly #tries = new Map<PackageKey, number>()

  constructor(source: SolverSource) {
    this.#source = source
  }

  async solve(signal: AbortSignal | undefined): Promise<Solution> {
    this.#add({ terms: new Map([[ROOT, VersionSet.of(1, 0).negate()]]), cause: { kind: 'root' } })
    let next: PackageKey | undefined = ROOT
    while (next !== undefined) {
      signal?.throwIfAborted()
      const proof = this.#propagate(next)
      if (proof !== undefined) return { kind: 'unsolvable', proof }
      this.#delayCulprits()
      next = await this.#decide()
    }
    return { kind: 'solved', versions: this.#solution.decisions }
  }

  /** Derives all that follows from a change of one package; gives the proof when everything is refuted. */
  #propagate(changed: PackageKey): Incompatibility | undefined {
    const queue = [changed]
    for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
      const known = this.#incompatibilities.get(key) ?? []
      // Newest first: learned ones say most.
      for (let i = known.length - 1; i >= 0; i--) {
        const incompatibility = known[i]
        if (incompatibility === undefined) continue
        const relation = this.#solution.relation(incompatibility)
        if (relation.kind === 'satisfied') {
          const learned = this.#learn(incompatibility)
          if (learned.isProof) return learned.incompatibility
          queue.length = 0
          queue.push(this.#deriveFrom(learned.incompatibility))
          break
        }
        if (relation.kind === 'almost' && this.#derive(relation.key, incompatibility)) queue.push(relation.key)
      }
    }
    return undefined
  }

  #deriveFrom(learned: Incompatibility): PackageKey {
    const relation = this.#solution.relation(learned)
    if (relation.kind !== 'almost') throw new RangeError('A learned incompatibility must be almost satisfied')
    this.#derive(relation.key, learned)
    return relation.key
  }

  /** Answers whether anything new was learned of the package. */
  #derive(key: PackageKey, cause: Incompatibility): boolean {
    const set = cause.terms.get(key)?.negate()
    if (set === undefined || this.#solution.left(key)?.isSubsetOf(set) === true) return false
    this.#solution.derive(key, set, cause)
    return true
  }

  /** Finds the root of a conflict and goes back to before it. */
  #learn(conflict: Incompatibility): { readonly incompatibility: Incompatibility; readonly isProof: boolean } {
    let incompatibility = conflict
    while (!isProof(incompatibility)) {
      const { key, level, previousLevel, cause } = this.#solution.satisfier(incompatibility)
      if (cause === undefined || previousLevel < level) {
        this.#solution.backtrack(previousLevel)
        if (incompatibility !== conflict) this.#add(incompatibility)
        this.#blame(key, incompatibility)
        return { incompatibility, isProof: false }
      }
      incompatibility = resolveIncompatibilities(incompatibility, cause, key)
    }
    return { incompatibility, isProof: true }
  }

  /** Decides the most urgent package; answers the package to propagate from, or undefined when all are decided. */
  async #decide(): Promise<PackageKey | undefined> {
    const key = this.#mostUrgent()
    if (key === undefined) return undefined
    const set = this.#solution.left(key)
    if (set === undefined) throw new RangeError(`Nothing is known of the undecided package ${key}`)
    const choice = key === ROOT ? ({ kind: 'version', index: 0 } as const) : await this.#choose(key, set)
    if (choice.kind === 'unusable') {
      this.#add({ terms: new Map([[key, set]]), cause: { kind: 'unusable', package: key, reason: choice.reason } })
      return key
    }
    const one = VersionSet.of(set.count, choice.index)
    const answer = await this.#source.dependencies(key, choice.index)
    if (answer.kind === 'unusable') {
      this.#add({ terms: new Map([[key, one]]), cause: { kind: 'unusable', package: key, reason: answer.reason } })
      return key
    }
    const added = answer.dependencies.map((dependency) => this.#addDependency(key, one, dependency))
    // A version whose own requirements already clash is not decided: propagation then excludes it.
    const clash = added.find((incompatibility) => this.#excludes(incompatibility, key))
    if (clash === undefined) this.#solution.decide(key, one, choice.index)
    else this.#blame(key, clash)
    return key
  }

  #choose(key: PackageKey, set: VersionSet): Promise<Choice> {
    const times = (this.#tries.get(key) ?? 0) + 1
    this.#tries.set(key, times)
    this.#source.tried?.(key, set, times)
    // An extra of a decided package has that package's version, or none.
    const decided = this.#solution.decisions.get(this.#source.baseOf(key))
    if (decided !== undefined && set.has(decided)) return Promise.resolve({ kind: 'version', index: decided })
    return this.#source.choose(key, set)
  }

  #excludes(incompatibility: Incompatibility, key: PackageKey): boolean {
    for (const [other, term] of incompatibility.terms) {
      if (other !== key && this.#solution.left(other)?.isSubsetOf(term) !== true) return false
    }
    return true
  }

  #addDependency(dependant: PackageKey, version: VersionSet, dependency: Dependency): Incompatibility {
    const { key, set, text, unmet, isPinned } = dependency
    if (isPinned === true) this.#pinned.add(key)
    if (!this.#order.has(key)) this.#order.set(key, this.#order.size)
    const kind = `${dependant}|${key}|${text}|${set.key}`
    const before = this.#merged.get(kind)
    const versions = before?.terms.get(dependant)?.union(version) ?? version
    const terms = new Map([[dependant, versions]])
    // "Depends on an impossible version" is the same as "cannot be used".
    if (!set.isEmpty) terms.set(key, set.negate())
    const cause =
      unmet === undefined || !set.isEmpty
        ? ({ kind: 'dependency', dependant, dependency: key, text } as const)
        : ({ kind: 'unmet', dependant, dependency: key, text, why: unmet } as const)
    const merged = { terms, cause }
    this.#add(merged, before)
    this.#merged.set(kind, merged)
    return merged
  }

  #add(incompatibility: Incompatibility, replaced?: Incompatibility): void {
    for (const key of incompatibility.terms.keys()) {
      const known = this.#incompatibilities.get(key) ?? []
      const place = replaced === undefined ? -1 : known.indexOf(replaced)
      if (place !== -1) known.splice(place, 1)
      known.push(incompatibility)
      this.#incompatibilities.set(key, known)
    }
  }

  /**
   * Counts a clash: `affected` could not have a version because of what was chosen for the others.
   *
   * Who is affected again and again is decided early from then on, and who is in the way late; its decision is taken
   * back. Else the first package of a list would keep its newest version at the price of ancient ones for the rest.
   */
  #blame(affected: PackageKey, incompatibility: Incompatibility): void {
    const base = this.#source.baseOf(affected)
    const culprits = [...incompatibility.terms.keys()].filter(
      (key) => key !== ROOT && this.#source.baseOf(key) !== base,
    )
    if (culprits.length === 0 || affected === ROOT) return
    for (const culprit of culprits) {
      if (count(this.#culprits, culprit) === CONFLICT_THRESHOLD && !this.#early.has(culprit)) this.#toDelay.add(culprit)
    }
    if (count(this.#affected, affected) === CONFLICT_THRESHOLD) this.#early.add(affected)
  }

  #delayCulprits(): void {
    for (const culprit of this.#toDelay) {
      this.#late.add(culprit)
      const level = this.#solution.decisionLevel(culprit)
      if (level !== undefined) this.#solution.backtrack(level - 1)
    }
    this.#toDelay.clear()
  }

  #mostUrgent(): PackageKey | undefined {
    let best: PackageKey | undefined
    let bestRank = Infinity
    for (const key of this.#solution.undecided) {
      const rank = this.#rank(key)
      if (rank < bestRank) [best, bestRank] = [key, rank]
    }
    return best
  }

  /** By kind first, then by when it was discovered: no two packages have the same. */
  #rank(key: PackageKey): number {
    return this.#urgency(key) * 2 ** 32 + (this.#order.get(key) ?? 0)
  }

  #urgency(key: PackageKey): number {
    if (key === ROOT) return 0
    const base = this.#source.baseOf(key)
    if (this.#pinned.has(key) || this.#pinned.has(base)) return 1
    if (this.#early.has(base) || this.#early.has(key)) return 2
    if (this.#late.has(base) || this.#late.has(key)) return 3
    return 4
  }
}

function count(counts: Map<PackageKey, number>, key: PackageKey): number {
  const next = (counts.get(key) ?? 0) + 1
  counts.set(key, next)
  return next
}

/** Nothing is left but the user's own request: it cannot be met. */
function isProof(incompatibility: Incompatibility): boolean {
  const [only] = incompatibility.terms
  return only === undefined || (incompatibility.terms.size === 1 && only[0] === ROOT)
}
