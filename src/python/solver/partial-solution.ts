import type { Incompatibility, PackageKey } from './incompatibility.ts'
import { VersionSet } from './version-set.ts'

/** A step that narrowed a package: a decision, or a derivation forced by an incompatibility. */
interface Assignment {
  readonly at: number
  readonly level: number
  /** What is left for the package after this step. */
  readonly left: VersionSet
  /** Undefined for a decision. */
  readonly cause: Incompatibility | undefined
}

/** How an incompatibility stands against what is assigned. */
export type Relation =
  | { readonly kind: 'satisfied' | 'contradicted' | 'open' }
  /** All terms hold but this package's, which must therefore not. */
  | { readonly kind: 'almost'; readonly key: PackageKey }

/** The step that made an incompatibility true, and the level of the one before it. */
export interface Satisfier {
  readonly key: PackageKey
  readonly level: number
  readonly previousLevel: number
  readonly cause: Incompatibility | undefined
}

/** What has been decided and derived so far, in order, so that it can be taken back by level. */
export class PartialSolution {
  readonly #steps = new Map<PackageKey, Assignment[]>()
  readonly #decisions = new Map<PackageKey, number>()
  readonly #undecided = new Set<PackageKey>()
  #clock = 0
  #level = 0

  get level(): number {
    return this.#level
  }

  /** Decided packages with the position of their version, in the order of decision. */
  get decisions(): ReadonlyMap<PackageKey, number> {
    return this.#decisions
  }

  /** What is left for a package; undefined when nothing is known of it. */
  left(key: PackageKey): VersionSet | undefined {
    return this.#steps.get(key)?.at(-1)?.left
  }

  /** The level at which a package was decided; undefined when it is not, or when it is the root. */
  decisionLevel(key: PackageKey): number | undefined {
    const step = this.#decisions.has(key) ? this.#steps.get(key)?.find(({ cause }) => cause === undefined) : undefined
    return step === undefined || step.level <= 1 ? undefined : step.level
  }

  /** Packages that must be in the solution and have no version yet, in no order. */
  get undecided(): ReadonlySet<PackageKey> {
    return this.#undecided
  }

  decide(key: PackageKey, set: VersionSet, index: number): void {
    this.#level++
    this.#decisions.set(key, index)
    this.#push(key, set, undefined)
  }

  derive(key: PackageKey, set: VersionSet, cause: Incompatibility): void {
    this.#push(key, set, cause)
  }

  backtrack(level: number): void {
    for (const [key, steps] of this.#steps) {
      while ((steps.at(-1)?.level ?? -1) > level) {
        if (steps.pop()?.cause === undefined) this.#decisions.delete(key)
      }
      if (steps.length === 0) this.#steps.delete(key)
      this.#sort(key, steps.at(-1)?.left)
    }
    this.#level = level
  }

  relation(incompatibility: Incompatibility): Relation {
    let open: PackageKey | undefined
    for (const [key, term] of incompatibility.terms) {
      const left = this.left(key)
      if (left !== undefined && left.isSubsetOf(term)) continue
      if (left !== undefined && left.isDisjointFrom(term)) return { kind: 'contradicted' }
      if (open !== undefined) return { kind: 'open' }
      open = key
    }
    return open === undefined ? { kind: 'satisfied' } : { kind: 'almost', key: open }
  }

  /** Finds the earliest step after which all terms hold. */
  satisfier(incompatibility: Incompatibility): Satisfier {
    const first = [...incompatibility.terms].map(([key, term]) => ({ key, step: this.#firstWithin(key, term) }))
    const last = first.reduce((a, b) => (b.step.at > a.step.at ? b : a))
    const others = first.filter(({ key }) => key !== last.key).map(({ step }) => step.level)
    const before = this.#levelBefore(incompatibility, last.key, last.step)
    return {
      key: last.key,
      level: last.step.level,
      // The root is decided at level 1; nothing is ever taken back behind it.
      previousLevel: Math.max(1, ...others, before),
      cause: last.step.cause,
    }
  }

  /** A satisfier may need an earlier step of its own package: the level at which the rest of the term was known. */
  #levelBefore(incompatibility: Incompatibility, key: PackageKey, satisfier: Assignment): number {
    const term = incompatibility.terms.get(key)
    const forced = satisfier.cause?.terms.get(key)?.negate()
    if (term === undefined || forced === undefined || forced.isSubsetOf(term)) return 0
    const rest = (this.#steps.get(key) ?? []).find(({ left }) => left.intersect(forced).isSubsetOf(term))
    return rest === undefined || rest.at >= satisfier.at ? 0 : rest.level
  }

  #firstWithin(key: PackageKey, term: VersionSet): Assignment {
    const step = this.#steps.get(key)?.find(({ left }) => left.isSubsetOf(term))
    if (step === undefined) throw new RangeError(`The solver looks for a satisfier of ${key} that does not exist`)
    return step
  }

  #push(key: PackageKey, set: VersionSet, cause: Incompatibility | undefined): void {
    const steps = this.#steps.get(key) ?? []
    const left = steps.at(-1)?.left.intersect(set) ?? set
    steps.push({ at: this.#clock++, level: this.#level, left, cause })
    this.#steps.set(key, steps)
    this.#sort(key, left)
  }

  /** Keeps the undecided apart: looking for them among thousands of packages at each decision would take longer than all else. */
  #sort(key: PackageKey, left: VersionSet | undefined): void {
    if (left?.allowsAbsent === false && !this.#decisions.has(key)) this.#undecided.add(key)
    else this.#undecided.delete(key)
  }
}
