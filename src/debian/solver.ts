import { BuildError } from '../core/errors.ts'
import { formatClause, formatRelation, isVersionAccepted, type Clause, type Relation } from './dependency.ts'
import type { PackageRecord } from './package-record.ts'
import { isProvidedBy, type Universe } from './universe.ts'
import { compareDebianVersions } from './version.ts'

/** What shall be installed, onto what. */
export interface SolveRequest {
  /** Names, in the order that decides which root a shared dependency belongs to. */
  readonly packages: readonly string[]
  readonly universe: Universe
  /** What the base has. */
  readonly installed: readonly PackageRecord[]
  readonly architecture: string
}

/** A package to install and the asked-for package that brought it. */
export interface Selection {
  readonly record: PackageRecord
  readonly root: string
}

const MAX_STEPS = 200_000

/**
 * Chooses packages so that every dependency holds and nothing conflicts, as apt does without Recommends: an alternative
 * that is there already wins, else the first that can be installed; the newest version of each.
 *
 * Where apt's first choice leads to a conflict, it goes back to the choice that the conflict depends on and takes the next.
 *
 * @returns what is not installed yet, in the order of choosing; deterministic
 * @throws BuildError PACKAGE_NOT_FOUND, RESOLVE_CONFLICT with the chain of reasons
 */
export function solve(request: SolveRequest): Selection[] {
  return new Solver(request).run()
}

/** Why a package was chosen: nothing but the name for those asked for. */
interface Reason {
  readonly owner: PackageRecord | undefined
  readonly clause: Clause | undefined
}

interface Chosen {
  readonly record: PackageRecord
  readonly reason: Reason
  readonly root: string
  /** Choice points that this selection hangs on. */
  readonly levels: ReadonlySet<number>
  readonly isInstalled: boolean
}

interface Task {
  readonly owner: Chosen | undefined
  readonly clause: Clause
  readonly root: string
}

/** Tasks as a linked stack: a choice point keeps its own view of it for free. */
interface Agenda {
  readonly task: Task
  readonly next: Agenda | undefined
}

interface ChoicePoint {
  readonly task: Task
  readonly options: PackageRecord[]
  readonly trailLength: number
  readonly agenda: Agenda | undefined
  /** Earlier choice points that the failures under this one hang on. */
  readonly blame: Set<number>
}

interface Failure {
  readonly levels: ReadonlySet<number>
  readonly explain: () => string
}

class Solver {
  readonly #request: SolveRequest
  readonly #chosen = new Map<string, Chosen>()
  /** Undo log: the name and what stood there before. */
  readonly #trail: { readonly name: string; readonly before: Chosen | undefined }[] = []
  readonly #choices: ChoicePoint[] = []
  /** Chosen packages that conflict with or break a name. */
  readonly #enemies = new Map<string, Set<string>>()
  /** Chosen packages that provide a name. */
  readonly #providers = new Map<string, Set<string>>()
  #agenda: Agenda | undefined
  #firstFailure: Failure | undefined

  constructor(request: SolveRequest) {
    this.#request = request
    for (const record of request.installed) {
      const reason = { owner: undefined, clause: undefined }
      this.#put({ record, reason, root: record.name, levels: new Set(), isInstalled: true })
    }
    this.#trail.length = 0
  }

  run(): Selection[] {
    const { packages, universe } = this.#request
    // All that was asked for is there before any alternative is chosen, as apt marks it.
    const roots = packages.map((name) => this.#rootOf(name, universe))
    const tasks: Task[] = []
    for (const record of roots) {
      if (this.#chosen.get(record.name)?.record === record) continue
      const failure = this.#select(record, { owner: undefined, clause: undefined }, record.name, new Set(), tasks)
      if (failure !== undefined) throw this.#error(failure)
    }
    for (const task of tasks.toReversed()) this.#agenda = { task, next: this.#agenda }
    this.#search()
    return [...this.#chosen.values()]
      .filter((chosen) => !chosen.isInstalled)
      .map(({ record, root }) => ({ record, root }))
  }

  #rootOf(name: string, universe: Universe): PackageRecord {
    const installed = this.#chosen.get(name)
    const candidate = universe.candidateOf(name)
    // What is asked for by name is brought up to date, as apt does; what merely is there stays.
    if (candidate !== undefined && (installed === undefined || isNewer(candidate, installed.record))) return candidate
    if (installed !== undefined) return installed.record
    const providers = universe.providersOf({ name })
    const [only] = providers
    // apt takes a virtual package only when there is no choice.
    if (only !== undefined && providers.length === 1) return only
    if (providers.length > 1) {
      throw new BuildError('PACKAGE_NOT_FOUND', `\`${name}\` is a virtual package that several packages provide`, {
        hint: `Name one of them: ${providers.map((record) => record.name).join(', ')}.`,
        data: { package: name, providers: providers.map((record) => record.name) },
      })
    }
    throw new BuildError('PACKAGE_NOT_FOUND', `The archive has no package named \`${name}\``, {
      data: { package: name },
    })
  }

  #search(): void {
    for (let steps = 0; this.#agenda !== undefined; steps++) {
      if (steps > MAX_STEPS) throw new BuildError('RESOLVE_CONFLICT', 'No solution was found within the limit of steps')
      const { task, next } = this.#agenda
      this.#agenda = next
      const failure = this.#settle(task)
      if (failure === undefined) continue
      this.#firstFailure ??= { levels: failure.levels, explain: once(failure.explain()) }
      this.#backtrack(failure)
    }
  }

  #settle(task: Task): Failure | undefined {
    // The owner may have been replaced by a newer version since.
    if (task.owner !== undefined && this.#chosen.get(task.owner.record.name) !== task.owner) return undefined
    if (this.#isSatisfied(task.clause)) return undefined
    const options = this.#options(task.clause)
    const levels = task.owner?.levels ?? new Set<number>()
    if (options.length === 0) {
      const explain = (): string => this.#explainMissing(task)
      return { levels: this.#withObstacles(task.clause, levels), explain }
    }
    const [only] = options
    if (options.length === 1 && only !== undefined) return this.#take(only, task, levels)
    const choice: ChoicePoint = {
      task,
      options,
      trailLength: this.#trail.length,
      agenda: this.#agenda,
      blame: new Set(levels),
    }
    this.#choices.push(choice)
    return this.#takeNext(choice)
  }

  #takeNext(choice: ChoicePoint): Failure | undefined {
    const record = choice.options.shift()
    if (record === undefined) return { levels: choice.blame, explain: () => '' }
    const levels = new Set(choice.task.owner?.levels ?? [])
    levels.add(this.#choices.length - 1)
    return this.#take(record, choice.task, levels)
  }

  #take(record: PackageRecord, task: Task, levels: ReadonlySet<number>): Failure | undefined {
    const tasks: Task[] = []
    const reason = { owner: task.owner?.record, clause: task.clause }
    const failure = this.#select(record, reason, task.root, levels, tasks)
    if (failure !== undefined) return failure
    for (const follower of tasks.toReversed()) this.#agenda = { task: follower, next: this.#agenda }
    return undefined
  }

  // Conflict-directed: choice points that the failure does not hang on are dropped without trying their other options.
  #backtrack(failure: Failure): void {
    let current: Failure | undefined = failure
    while (current !== undefined) {
      const levels: ReadonlySet<number> = current.levels
      const level: number = levels.size === 0 ? -1 : Math.max(...levels)
      const choice: ChoicePoint | undefined = this.#choices[level]
      if (choice === undefined) throw this.#error(this.#firstFailure ?? failure)
      this.#undoTo(choice.trailLength)
      this.#choices.length = level + 1
      this.#agenda = choice.agenda
      for (const earlier of levels) if (earlier !== level) choice.blame.add(earlier)
      if (choice.options.length === 0) {
        this.#choices.length = level
        current = { levels: choice.blame, explain: () => '' }
      } else {
        current = this.#takeNext(choice)
      }
    }
  }

  #undoTo(length: number): void {
    while (this.#trail.length > length) {
      const step = this.#trail.pop()
      if (step === undefined) return
      const current = this.#chosen.get(step.name)
      if (current !== undefined) this.#index(current.record, 'delete')
      if (step.before === undefined) this.#chosen.delete(step.name)
      else {
        this.#chosen.set(step.name, step.before)
        this.#index(step.before.record, 'add')
      }
    }
  }

  /** Puts a package in place and notes in `tasks` what must hold because of it. */
  #select(
    record: PackageRecord,
    reason: Reason,
    root: string,
    levels: ReadonlySet<number>,
    tasks: Task[],
  ): Failure | undefined {
    const before = this.#chosen.get(record.name)
    const chosen: Chosen = { record, reason, root, levels, isInstalled: false }
    if (before !== undefined && !before.isInstalled) {
      return {
        levels: new Set([...levels, ...before.levels]),
        explain: () =>
          `${this.#because(chosen)}\n${this.#because(before)}\nbut only one version of ${record.name} can be installed`,
      }
    }
    this.#put(chosen)
    for (const enemy of this.#conflictsOf(chosen)) {
      const failure = this.#upgradeOrFail(enemy, chosen, tasks)
      if (failure !== undefined) return failure
    }
    for (const field of ['pre-depends', 'depends'] as const) {
      for (const clause of record.clauses(field)) tasks.push({ owner: chosen, clause, root })
    }
    if (before !== undefined) this.#recheckDependents(chosen, tasks)
    for (const sibling of this.#siblingsOf(record)) {
      const failure = this.#select(sibling, { owner: record, clause: undefined }, root, levels, tasks)
      if (failure !== undefined) return failure
    }
    return undefined
  }

  /**
   * Newer versions of installed packages that come from the very source of a chosen one, as far as nothing is in their way.
   *
   * @see apt.conf(5), APT::Get::Upgrade-By-Source-Package
   */
  #siblingsOf(record: PackageRecord): PackageRecord[] {
    return this.#request.installed.flatMap(({ name }) => {
      const current = this.#chosen.get(name)
      const candidate = current?.isInstalled === true ? this.#request.universe.candidateOf(name) : undefined
      if (current === undefined || candidate === undefined || candidate.source !== record.source) return []
      const canStand = this.#conflictsOf({ ...current, record: candidate }).every((other) => other === current)
      return isNewer(candidate, current.record) && canStand ? [candidate] : []
    })
  }

  /** An installed package in the way is replaced by its newer version when that one does not conflict. */
  #upgradeOrFail(enemy: Chosen, chosen: Chosen, tasks: Task[]): Failure | undefined {
    const candidate = this.#request.universe.candidateOf(enemy.record.name)
    const canUpgrade = enemy.isInstalled && candidate !== undefined && candidate.version !== enemy.record.version
    if (canUpgrade && !isInConflict(candidate, chosen.record)) {
      return this.#select(candidate, { owner: chosen.record, clause: undefined }, chosen.root, chosen.levels, tasks)
    }
    return {
      levels: new Set([...chosen.levels, ...enemy.levels]),
      explain: () =>
        `${this.#because(chosen)}\n${this.#because(enemy)}\nbut ${explainConflict(chosen.record, enemy.record)}`,
    }
  }

  // A package of the base has changed its version: what depends on the old one must follow.
  #recheckDependents(changed: Chosen, tasks: Task[]): void {
    for (const dependent of this.#chosen.values()) {
      for (const field of ['pre-depends', 'depends'] as const) {
        for (const clause of dependent.record.clauses(field)) {
          if (!clause.some((relation) => this.#concerns(changed.record, relation)) || this.#isSatisfied(clause))
            continue
          const candidate = this.#request.universe.candidateOf(dependent.record.name)
          const canFollow =
            dependent.isInstalled && candidate !== undefined && candidate.version !== dependent.record.version
          const exactly: Relation | undefined = canFollow
            ? { name: candidate.name, operator: '=', version: candidate.version }
            : undefined
          tasks.push({ owner: changed, clause: exactly === undefined ? clause : [exactly], root: changed.root })
        }
      }
    }
  }

  #concerns(record: PackageRecord, relation: Relation): boolean {
    return relation.name === record.name || isProvidedBy(record, { name: relation.name })
  }

  #put(chosen: Chosen): void {
    const { name } = chosen.record
    const before = this.#chosen.get(name)
    if (before !== undefined) this.#index(before.record, 'delete')
    this.#trail.push({ name, before })
    this.#chosen.set(name, chosen)
    this.#index(chosen.record, 'add')
  }

  #index(record: PackageRecord, action: 'add' | 'delete'): void {
    for (const clause of record.clauses('provides')) {
      for (const promise of clause) change(this.#providers, promise.name, record.name, action)
    }
    for (const field of ['conflicts', 'breaks'] as const) {
      for (const clause of record.clauses(field)) {
        for (const relation of clause) change(this.#enemies, relation.name, record.name, action)
      }
    }
  }

  /** Chosen packages that cannot stand beside this one, whichever of the two says so. */
  #conflictsOf(chosen: Chosen): Chosen[] {
    const { record } = chosen
    const names = new Set<string>()
    for (const field of ['conflicts', 'breaks'] as const) {
      for (const clause of record.clauses(field)) {
        for (const relation of clause) {
          names.add(relation.name)
          for (const provider of this.#providers.get(relation.name) ?? []) names.add(provider)
        }
      }
    }
    const own = [record.name, ...record.clauses('provides').flatMap((clause) => clause.map((promise) => promise.name))]
    for (const name of own) for (const enemy of this.#enemies.get(name) ?? []) names.add(enemy)
    names.delete(record.name)
    return [...names]
      .map((name) => this.#chosen.get(name))
      .filter((other) => other !== undefined)
      .filter((other) => isInConflict(record, other.record))
  }

  #isSatisfied(clause: Clause): boolean {
    return clause.some((relation) => {
      const direct = this.#chosen.get(relation.name)
      if (direct !== undefined && this.#fits(direct.record, relation)) return true
      return [...(this.#providers.get(relation.name) ?? [])].some((name) => {
        const provider = this.#chosen.get(name)
        return provider !== undefined && this.#fits(provider.record, relation)
      })
    })
  }

  #fits(record: PackageRecord, relation: Relation): boolean {
    if (!this.#fitsArchitecture(record, relation)) return false
    if (record.name === relation.name && isVersionAccepted(relation, record.version)) return true
    return isProvidedBy(record, relation)
  }

  // One architecture only: `:any` asks that the package allows it, a named one must be ours.
  #fitsArchitecture(record: PackageRecord, relation: Relation): boolean {
    const { qualifier } = relation
    if (qualifier === undefined || qualifier === 'native' || qualifier === this.#request.architecture) return true
    return qualifier === 'any' && (record.multiArch === 'allowed' || record.name !== relation.name)
  }

  /** Packages that would satisfy a clause and are not in conflict with what is there, preferred first. */
  #options(clause: Clause): PackageRecord[] {
    return this.#potential(clause).filter((record) => {
      const current = this.#chosen.get(record.name)
      return current === undefined || current.isInstalled
    })
  }

  #potential(clause: Clause): PackageRecord[] {
    const { universe } = this.#request
    const found = new Map<string, PackageRecord>()
    for (const relation of clause) {
      const direct = universe.candidateOf(relation.name)
      const records = direct === undefined ? [] : [direct]
      for (const record of [...records, ...universe.providersOf(relation)]) {
        if (!found.has(record.name) && this.#fits(record, relation)) found.set(record.name, record)
      }
    }
    return [...found.values()]
  }

  #withObstacles(clause: Clause, levels: ReadonlySet<number>): ReadonlySet<number> {
    const all = new Set(levels)
    for (const record of this.#potential(clause)) {
      for (const level of this.#chosen.get(record.name)?.levels ?? []) all.add(level)
    }
    return all
  }

  #explainMissing(task: Task): string {
    const { universe } = this.#request
    const alternatives = task.clause.map((relation) => {
      const candidate = universe.candidateOf(relation.name)
      if (candidate !== undefined) return `the archive has ${candidate.toString()}`
      return `the archive has no \`${formatRelation(relation)}\``
    })
    const owner = task.owner === undefined ? '' : `${this.#because(task.owner)}\n`
    const wanting = task.owner?.record.name ?? 'the request'
    return `${owner}${wanting} needs \`${formatClause(task.clause)}\`, but ${[...new Set(alternatives)].join(' and ')}`
  }

  /** The chain that leads to a package, from what was asked for. */
  #because(chosen: Chosen): string {
    if (chosen.isInstalled) return `${chosen.record.toString()} is in the base`
    const parts = [chosen.record.toString()]
    const seen = new Set<string>()
    for (let { owner } = chosen.reason; owner !== undefined && !seen.has(owner.name);) {
      seen.add(owner.name)
      parts.unshift(owner.name)
      owner = this.#chosen.get(owner.name)?.reason.owner
    }
    const [first, ...rest] = parts
    return rest.length === 0
      ? `${first} was asked for`
      : `${first} was asked for and needs ${rest.join(', which needs ')}`
  }

  #error(failure: Failure): BuildError {
    const explanation = failure.explain()
    return new BuildError('RESOLVE_CONFLICT', `The system packages cannot be installed together:\n${explanation}`, {
      hint: 'Leave one of the packages out, or use a base whose packages are newer.',
      data: { packages: this.#request.packages, explanation },
    })
  }
}

function once(text: string): () => string {
  return () => text
}

function change(map: Map<string, Set<string>>, key: string, value: string, action: 'add' | 'delete'): void {
  const known = map.get(key)
  if (action === 'delete') known?.delete(value)
  else if (known === undefined) map.set(key, new Set([value]))
  else known.add(value)
}

function isNewer(a: PackageRecord, b: PackageRecord): boolean {
  return compareDebianVersions(a.version, b.version) > 0
}

/** Tells whether two packages cannot be installed side by side, whichever says so. */
function isInConflict(a: PackageRecord, b: PackageRecord): boolean {
  return refusing(a, b) !== undefined || refusing(b, a) !== undefined
}

// Policy 7.4: a package never conflicts with itself, nor through a name that only it provides.
function refusing(
  from: PackageRecord,
  to: PackageRecord,
): { field: 'conflicts' | 'breaks'; relation: Relation } | undefined {
  if (from.name === to.name) return undefined
  for (const field of ['conflicts', 'breaks'] as const) {
    for (const clause of from.clauses(field)) {
      for (const relation of clause) {
        if (!isAbout(relation, to, from)) continue
        const isDirect = relation.name === to.name && isVersionAccepted(relation, to.version)
        if (isDirect || isProvidedBy(to, relation)) return { field, relation }
      }
    }
  }
  return undefined
}

/** `Conflicts: libc6-i386:x32` is about that architecture's package alone, not the one that is installed here. */
function isAbout({ qualifier }: Relation, to: PackageRecord, from: PackageRecord): boolean {
  if (qualifier === undefined || qualifier === 'any' || qualifier === 'native') return true
  return qualifier === to.architecture || (to.architecture === 'all' && qualifier === from.architecture)
}

function explainConflict(a: PackageRecord, b: PackageRecord): string {
  const forward = refusing(a, b)
  const [from, found] = forward === undefined ? [b, refusing(b, a)] : [a, forward]
  const verb = found?.field === 'breaks' ? 'breaks' : 'conflicts with'
  return found === undefined
    ? `${a.name} and ${b.name} exclude each other`
    : `${from.name} ${verb} \`${formatRelation(found.relation)}\``
}
