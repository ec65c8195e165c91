import type { LoadedProject } from './loaded-project.ts'
import type { Metadata } from './metadata.ts'
import { normalizeName } from './package-name.ts'
import type { Requirement } from './requirement.ts'
import type { ResolutionRules } from './resolution-rules.ts'
import { baseOf, extraOf } from './package-key.ts'
import type { PackageKey } from './solver/incompatibility.ts'
import { VersionSet } from './solver/version-set.ts'
import type { SpecifierSet } from './specifier.ts'

/** What is asked ahead: the same answers that the solver gets, which keeps them. */
export interface ForeseenSource {
  load(name: string): Promise<LoadedProject>
  /** A project that has been asked for and has come. */
  loaded(key: PackageKey): LoadedProject | undefined
  setOf(loaded: LoadedProject, specifiers: SpecifierSet): VersionSet
  /** The version that would be taken of a set. */
  best(loaded: LoadedProject, set: VersionSet): number | undefined
  metadataOf(loaded: LoadedProject, index: number): Promise<Metadata>
}

/** Guesses what the solver will ask for, and asks for it ahead, so that its answers are there by then. */
export class Foresight {
  readonly #source: ForeseenSource
  readonly #rules: ResolutionRules
  readonly #foreseen = new Map<string, Requirement[]>()
  readonly #followed = new Set<PackageKey>()
  readonly #guesses = new Map<string, number>()

  constructor(source: ForeseenSource, rules: ResolutionRules) {
    this.#source = source
    this.#rules = rules
  }

  /** Begins with what the user requires. Never fails. */
  begin(): void {
    const requirements = this.#rules.roots.map(({ requirement }) => this.#rules.overridden(requirement))
    for (const each of requirements) this.#foresee(each)
    for (const each of requirements) this.#follow(each)
  }

  #foresee(requirement: Requirement): void {
    const { name, specifiers } = requirement
    const known = this.#foreseen.get(name)
    if (known === undefined) this.#foreseen.set(name, [requirement])
    else known.push(requirement)
    const [loaded, guess] = [this.#source.loaded(name), this.#guesses.get(name)]
    if (loaded === undefined || guess === undefined || this.#source.setOf(loaded, specifiers).has(guess)) return
    // What was guessed before this was known is wrong now; the extras that were followed are followed again.
    this.#guesses.delete(name)
    const keys = [...this.#followed].filter((key) => baseOf(key) === name)
    for (const key of keys) this.#followed.delete(key)
    this.#follow({ ...requirement, extras: keys.flatMap((key) => extraOf(key) ?? []) })
  }

  /** Guesses the version of a requirement, fetches its metadata and goes on with what that requires. */
  #follow(requirement: Requirement): void {
    // What fails is asked for again in earnest, or was not needed.
    void this.#followNow(requirement).catch(() => {})
  }

  async #followNow(requirement: Requirement): Promise<void> {
    const { name } = requirement
    const keys = [name, ...requirement.extras.map((extra) => `${name}[${normalizeName(extra)}]`)]
    const fresh = keys.filter((key) => !this.#followed.has(key))
    for (const key of fresh) this.#followed.add(key)
    if (fresh.length === 0) return
    const loaded = await this.#source.load(name)
    const index = this.#guess(loaded)
    if (index === undefined) return
    this.#guesses.set(name, index)
    const metadata = await this.#source.metadataOf(loaded, index)
    const required = fresh.flatMap((key) => this.#rules.requirementsOf(key, metadata))
    const next = required.map((each) => this.#rules.overridden(each))
    for (const each of next) this.#foresee(each)
    for (const each of next) this.#follow(each)
  }

  #guess(loaded: LoadedProject): number | undefined {
    const known = [...(this.#foreseen.get(loaded.name) ?? []), ...this.#rules.constraintsOf(loaded.name)]
    const sets = known.map(({ specifiers }) => this.#source.setOf(loaded, specifiers))
    const all = sets.reduce(
      (a, b) => a.intersect(b),
      VersionSet.where(loaded.versions.length, () => true),
    )
    return this.#source.best(loaded, all)
  }
}
