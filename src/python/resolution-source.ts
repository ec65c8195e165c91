import { BuildError } from '../core/errors.ts'
import { chooseSource } from './choose-source.ts'
import type { IndexClient, ListedFile, Project } from './index/client.ts'
import { pageOf } from './index/page.ts'
import type { MarkerEnvironment } from './marker.ts'
import { baseRequirements, extraRequirements, holds, parseMetadata, type Metadata } from './metadata.ts'
import { readInstalled, withInstalled, type InstalledVersion } from './installed.ts'
import { normalizeName } from './package-name.ts'
import {
  chooseWheel,
  groupVersions,
  type FilePolicy,
  type ProjectVersion,
  type WheelChoice,
} from './project-versions.ts'
import type { Requirement } from './requirement.ts'
import type { ResolutionInput, RootRequirement } from './resolution-input.ts'
import { describeRefusals } from './refusals.ts'
import { allowsPython, targetPython } from './requires-python.ts'
import { ROOT, type PackageKey, type Unmet } from './solver/incompatibility.ts'
import type { DescribedSource, SourceReader } from './source-package.ts'
import type { Choice, Dependencies, Dependency, SolverSource } from './solver/pubgrub.ts'
import { VersionSet } from './solver/version-set.ts'
import { formatSpecifier, formatSpecifiers, matchesSpecifiers, type SpecifierSet } from './specifier.ts'
import { compareHashes, statedHashes } from './stated-hashes.ts'
import { targetTags } from './tag.ts'
import { targetMarkers, type Target } from './target.ts'
import { compareVersions, comparePublic, formatVersion, parseVersion, type Version } from './version.ts'

/** A project with its versions, oldest first; all sets of the solver count along this array. */
export interface LoadedProject {
  readonly name: string
  readonly project: Project
  readonly versions: readonly ProjectVersion[]
}

/** A wheel, or a source, that the user named by its address instead of a version. */
export interface DirectWheel {
  readonly name: string
  readonly file: ListedFile
  /** Present for a source. */
  readonly described?: DescribedSource
}

/** Answers the solver from package indexes: one target, one set of rules. */
export class ResolutionSource implements SolverSource {
  readonly #client: IndexClient
  readonly #input: ResolutionInput
  readonly #environment: MarkerEnvironment
  readonly #policy: Pick<FilePolicy, 'tags' | 'python' | 'excludeNewerMs'>
  readonly #loaded = new Map<string, LoadedProject>()
  readonly #loading = new Map<string, Promise<LoadedProject>>()
  readonly #choices = new Map<ProjectVersion, WheelChoice>()
  readonly #policies = new Map<string, FilePolicy>()
  readonly #metadata = new Map<string, Promise<Metadata>>()
  readonly #requirements = new WeakMap<Metadata, Map<PackageKey, readonly Requirement[]>>()
  readonly #sets = new Map<string, VersionSet>()
  readonly #labels = new Map<string, string>()
  readonly #roots: readonly RootRequirement[]
  readonly #constraints: ReadonlyMap<string, readonly Requirement[]>
  readonly #overrides: ReadonlyMap<string, readonly Requirement[]>
  readonly #direct: ReadonlyMap<string, DirectWheel>
  readonly #foreseen = new Map<string, Requirement[]>()
  readonly #installed: ReadonlyMap<string, InstalledVersion>
  readonly #sources: SourceReader | undefined
  readonly #described = new Map<string, Promise<DescribedSource>>()
  /** The package that first asked for another. */
  readonly #dependants = new Map<string, string>()

  /** @param sources describes packages without a wheel that fits; such are refused without it */
  constructor(
    client: IndexClient,
    input: ResolutionInput,
    direct: readonly DirectWheel[],
    sources: SourceReader | undefined,
  ) {
    const { target, excludeNewer } = input
    this.#client = client
    this.#sources = sources
    this.#input = input
    this.#environment = targetMarkers(target)
    this.#policy = {
      tags: targetTags(target),
      python: targetPython(target.pythonVersion),
      excludeNewerMs: excludeNewer === undefined ? undefined : parseTime(excludeNewer),
    }
    this.#roots = input.requirements.filter(({ requirement }) => this.#holds(requirement))
    this.#constraints = groupByName(
      (input.constraints ?? []).map(({ requirement }) => requirement).filter((r) => this.#holds(r)),
    )
    this.#overrides = groupByName(input.overrides ?? [])
    this.#direct = new Map(direct.map((wheel) => [wheel.name, wheel]))
    const hasHashes = (root: RootRequirement): boolean => (root.hashes ?? []).length > 0
    const mayUseInstalled = input.requiresHashes !== true && !input.requirements.some(hasHashes)
    this.#installed = readInstalled(mayUseInstalled ? (input.installed ?? []) : [])
    for (const { file, described } of direct) {
      if (described !== undefined) this.#described.set(file.url, Promise.resolve(described))
    }
  }

  get target(): Target {
    return this.#input.target
  }

  get excludeNewer(): string | undefined {
    return this.#input.excludeNewer
  }

  /** Requirements of the user that hold on the target. */
  get roots(): readonly RootRequirement[] {
    return this.#roots
  }

  /** Requirements of the user whose packages no index has; `text` is the requirement. */
  unknownRoots(): readonly (LoadedProject & { readonly text: string })[] {
    const unknown = new Map<string, LoadedProject & { readonly text: string }>()
    for (const { requirement } of this.#roots) {
      const { name, specifiers } = this.#overridden(requirement)
      const loaded = this.#loaded.get(name)
      if (loaded?.versions.length === 0) unknown.set(name, { ...loaded, text: name + formatSpecifiers(specifiers) })
    }
    return [...unknown.values()]
  }

  /** A project that has been asked for. */
  loaded(key: PackageKey): LoadedProject | undefined {
    return this.#loaded.get(this.baseOf(key))
  }

  baseOf(key: PackageKey): PackageKey {
    const bracket = key.indexOf('[')
    return bracket === -1 ? key : key.slice(0, bracket)
  }

  /** The wheel of a version, or why it has none. */
  wheelOf(version: ProjectVersion, name: string): WheelChoice {
    let choice = this.#choices.get(version)
    if (choice === undefined) {
      choice = chooseWheel(version, this.#policyFor(name))
      this.#choices.set(version, choice)
    }
    return choice
  }

  /** The requirement from which a set came, in words. */
  labelOf(key: PackageKey, set: VersionSet): string | undefined {
    return this.#labels.get(`${key} ${set.key}`)
  }

  async choose(key: PackageKey, set: VersionSet): Promise<Choice> {
    const loaded = await this.#load(this.baseOf(key))
    const index = this.#best(loaded, set) ?? this.#bestSource(loaded, set)
    if (index !== undefined) return { kind: 'version', index }
    return { kind: 'unusable', reason: describeRefusals(this, loaded, set) }
  }

  async dependencies(key: PackageKey, index: number): Promise<Dependencies> {
    if (key === ROOT) {
      const requirements = this.#roots.map(({ requirement }) => requirement)
      return { kind: 'known', dependencies: await this.#toDependencies(requirements, undefined) }
    }
    const base = this.baseOf(key)
    const loaded = await this.#load(base)
    let metadata: Metadata
    try {
      metadata = await this.metadataOf(loaded, index)
    } catch (error) {
      if (error instanceof BuildError && UNREADABLE.has(error.code))
        return { kind: 'unusable', reason: `cannot be read (${error.message})` }
      throw this.#withDependants(error, base)
    }
    if (!allowsPython(metadata.requiresPython, this.#policy.python)) {
      return { kind: 'unusable', reason: `requires Python ${formatSpecifiers(metadata.requiresPython)}` }
    }
    const requirements = this.#requirementsOf(key, metadata)
    const own = requirements.filter(({ name }) => name === base)
    if (own.some(({ specifiers }) => !this.#set(loaded, specifiers).has(index))) {
      return { kind: 'unusable', reason: 'requires another version of itself' }
    }
    const others = requirements.filter(({ name, extras }) => name !== base || extras.length > 0)
    const dependencies = await this.#toDependencies(others, base)
    return { kind: 'known', dependencies: key === base ? dependencies : [this.#pin(loaded, index), ...dependencies] }
  }

  #noteDependant(dependant: string, requirements: readonly Requirement[]): void {
    for (const { name } of requirements) {
      if (name !== dependant && !this.#dependants.has(name)) this.#dependants.set(name, dependant)
    }
  }

  /** A build that fails is of a package which the user may never have heard of: says what asked for it. */
  #withDependants(error: unknown, name: string): unknown {
    const chain: string[] = []
    for (let next = this.#dependants.get(name); next !== undefined; next = this.#dependants.get(next)) {
      if (chain.includes(next)) break
      chain.push(next)
    }
    const isAsked = this.#roots.some(({ requirement }) => requirement.name === name)
    if (!(error instanceof BuildError) || error.code !== 'RUN_FAILED' || isAsked || chain.length === 0) return error
    const words = chain.map((dependant) => `required by \`${dependant}\``).join(', ')
    return new BuildError(error.code, `${error.message}\n  \`${name}\` is ${words}`, {
      hint: error.hint,
      data: { ...error.data, requiredBy: chain },
      cause: error.cause,
    })
  }

  /** Hashes of which a chosen file must have one, where its index's own do not tell. */
  unprovenHashes(name: string, file: ListedFile): ReadonlySet<string> | undefined {
    const { hashes } = this.#policyFor(name)
    return hashes !== undefined && compareHashes(file, hashes) === 'unknown' ? hashes : undefined
  }

  /** METADATA of a version's wheel, or of its source. */
  metadataOf(loaded: LoadedProject, index: number): Promise<Metadata> {
    const version = loaded.versions[index]
    const file = version === undefined ? undefined : this.fileOf(version, loaded.name)
    if (version === undefined || file === undefined) throw new RangeError(`No file of ${loaded.name} was chosen`)
    let metadata = this.#metadata.get(file.url)
    if (metadata === undefined) {
      metadata = this.#fetchMetadata(loaded.name, version.version, file)
      metadata.catch(() => {})
      this.#metadata.set(file.url, metadata)
    }
    return metadata
  }

  /** The file that stands for a version: its wheel, else its source where sources may be taken. */
  fileOf(version: ProjectVersion, name: string): ListedFile | undefined {
    const choice = this.wheelOf(version, name)
    return choice.kind === 'wheel' ? choice.file : this.#sourceOf(version, name)
  }

  /** What is known of a version's source; undefined for a version with a wheel. */
  async describedOf(version: ProjectVersion, name: string): Promise<DescribedSource | undefined> {
    return this.wheelOf(version, name).kind === 'wheel' ? undefined : this.#describe(this.#sourceOf(version, name))
  }

  /** Requirements of a locked version that hold on the target, with those of the extras. */
  requirementsFor(metadata: Metadata, extras: readonly string[]): readonly Requirement[] {
    return [
      ...baseRequirements(metadata, this.#environment),
      ...extras.flatMap((extra) => extraRequirements(metadata, this.#environment, extra)),
    ]
  }

  /** Starts to fetch what the solver will ask for, as far as it can be foreseen. Never fails. */
  prefetch(): void {
    for (const { requirement } of this.#roots) this.#foresee(this.#overridden(requirement))
    for (const { requirement } of this.#roots) this.#follow(this.#overridden(requirement))
  }

  /** A package that fails again and again will soon need its next versions. */
  tried(key: PackageKey, set: VersionSet, times: number): void {
    const loaded = this.loaded(key)
    if (loaded === undefined || times < 3) return
    let ahead = Math.min(times, 10)
    for (const index of this.#preferred(loaded, set)) {
      const version = loaded.versions[index]
      if (version === undefined || this.wheelOf(version, loaded.name).kind !== 'wheel') continue
      this.metadataOf(loaded, index).catch(() => {})
      if (--ahead === 0) return
    }
  }

  #requirementsOf(key: PackageKey, metadata: Metadata): readonly Requirement[] {
    const known = this.#requirements.get(metadata) ?? new Map<PackageKey, readonly Requirement[]>()
    this.#requirements.set(metadata, known)
    const extra = extraOf(key)
    const found =
      known.get(key) ??
      (extra === undefined
        ? baseRequirements(metadata, this.#environment)
        : extraRequirements(metadata, this.#environment, extra))
    known.set(key, found)
    return found
  }

  async #fetchMetadata(name: string, version: Version, file: ListedFile): Promise<Metadata> {
    const isWheel = file.filename.endsWith('.whl')
    const text = isWheel ? await this.#client.metadata(file) : ((await this.#describe(file))?.metadata ?? '')
    const metadata = parseMetadata(text, file.filename)
    if (metadata.name !== name || comparePublic(metadata.version, version) !== 0) {
      const says = `${metadata.name} ${formatVersion(metadata.version)}`
      throw new BuildError('WHEEL_INVALID', `The metadata of ${file.filename} is of ${says}`)
    }
    return metadata
  }

  #load(name: string): Promise<LoadedProject> {
    let loading = this.#loading.get(name)
    if (loading === undefined) {
      loading = this.#loadNow(name)
      loading.catch(() => {})
      this.#loading.set(name, loading)
    }
    return loading
  }

  async #loadNow(name: string): Promise<LoadedProject> {
    const direct = this.#direct.get(name)
    const project: Project =
      direct === undefined
        ? await this.#client.project(name)
        : { name, pages: [{ page: pageOf(direct.file.url, [direct.file]), index: '' }], asked: [], unasked: [] }
    const listed = groupVersions(name, project.pages)
    const installed = direct === undefined ? this.#installed.get(name) : undefined
    const loaded = { name, project, versions: installed === undefined ? listed : withInstalled(listed, installed) }
    if (installed !== undefined) {
      const { version, file, metadata } = installed
      this.#choices.set(version, { kind: 'wheel', file })
      this.#metadata.set(file.url, Promise.resolve(metadata))
    }
    this.#loaded.set(name, loaded)
    return loaded
  }

  /** What a version requires, as sets; a package with extras stands for itself and once for each extra. */
  async #toDependencies(
    requirements: readonly Requirement[],
    dependant: string | undefined,
  ): Promise<readonly Dependency[]> {
    const effective = requirements.map((requirement) => this.#overridden(requirement))
    if (dependant !== undefined) this.#noteDependant(dependant, effective)
    await Promise.all(effective.map(({ name }) => this.#load(name)))
    const dependencies: Dependency[] = []
    for (const requirement of effective) {
      const loaded = await this.#load(requirement.name)
      const extras = [...new Set(requirement.extras.map(normalizeName))]
      const keys = requirement.name === dependant ? [] : [requirement.name]
      for (const key of [...keys, ...extras.map((extra) => `${requirement.name}[${extra}]`)]) {
        dependencies.push(this.#toDependency(key, requirement, loaded))
      }
    }
    return dependencies
  }

  #toDependency(key: PackageKey, requirement: Requirement, loaded: LoadedProject): Dependency {
    const constraints = this.#constraints.get(requirement.name) ?? []
    const specifiers = [...requirement.specifiers, ...constraints.flatMap((constraint) => constraint.specifiers)]
    const set = this.#set(loaded, specifiers)
    const text = requirement.url === undefined ? key + formatSpecifiers(specifiers) : `${key} @ ${requirement.url}`
    if (!set.isEmpty) this.#labels.set(`${key} ${set.key}`, text)
    const isPinned = requirement.url !== undefined || specifiers.some(isPin)
    return { key, set, text, unmet: set.isEmpty ? this.#unmet(loaded) : undefined, isPinned }
  }

  #unmet({ versions }: LoadedProject): Unmet {
    const [oldest, newest] = [versions[0], versions.at(-1)]
    if (oldest === undefined || newest === undefined) return { kind: 'not-found' }
    return { kind: 'no-version', available: oldest === newest ? oldest.text : `${oldest.text} to ${newest.text}` }
  }

  #pin(loaded: LoadedProject, index: number): Dependency {
    const set = VersionSet.of(loaded.versions.length, index)
    return { key: loaded.name, set, text: `${loaded.name}==${loaded.versions[index]?.text}`, isPinned: true }
  }

  #set(loaded: LoadedProject, specifiers: SpecifierSet): VersionSet {
    const key = `${loaded.name} ${specifiers.map(formatSpecifier).join(',')}`
    let set = this.#sets.get(key)
    if (set === undefined) {
      set = VersionSet.where(loaded.versions.length, (index) => {
        const version = loaded.versions[index]
        return version !== undefined && matchesSpecifiers(specifiers, version.version, version.text)
      })
      this.#sets.set(key, set)
    }
    return set
  }

  #best(loaded: LoadedProject, set: VersionSet): number | undefined {
    for (const index of this.#preferred(loaded, set)) {
      const version = loaded.versions[index]
      if (version !== undefined && this.wheelOf(version, loaded.name).kind === 'wheel') return index
    }
    return undefined
  }

  /**
   * A source is taken only where no version of the set has a wheel that fits: what needs no building is preferred to what is
   * newer, as pip's `--prefer-binary` does.
   */
  #bestSource(loaded: LoadedProject, set: VersionSet): number | undefined {
    for (const index of this.#preferred(loaded, set)) {
      const version = loaded.versions[index]
      if (version !== undefined && this.#sourceOf(version, loaded.name) !== undefined) return index
    }
    return undefined
  }

  #sourceOf(version: ProjectVersion, name: string): ListedFile | undefined {
    const { onlyBinary = [] } = this.#input
    if (this.#sources === undefined || onlyBinary.includes(':all:') || onlyBinary.includes(name)) return undefined
    return chooseSource(version, this.#policyFor(name))
  }

  async #describe(file: ListedFile | undefined): Promise<DescribedSource | undefined> {
    if (file === undefined || this.#sources === undefined) return undefined
    const known = this.#described.get(file.url) ?? this.#sources.listed(file)
    known.catch(() => {})
    this.#described.set(file.url, known)
    return known
  }

  /** What is there already or in an earlier lock, then newest first; pre-releases last unless they are welcome. */
  *#preferred(loaded: LoadedProject, set: VersionSet): Generator<number> {
    const installed = this.#installed.get(loaded.name)?.version
    const preference = installed?.text ?? this.#input.preferences?.get(loaded.name)
    const kept = preference === undefined ? -1 : loaded.versions.findIndex(({ text }) => text === preference)
    if (kept !== -1 && set.has(kept)) yield kept
    const isEqual = this.#input.allowsPreReleases === true
    for (const isSecond of isEqual ? [false] : [false, true]) {
      for (let index = loaded.versions.length - 1; index >= 0; index--) {
        if (index !== kept && set.has(index) && (isEqual || loaded.versions[index]?.isPreRelease === isSecond))
          yield index
      }
    }
  }

  #policyFor(name: string): FilePolicy {
    let policy = this.#policies.get(name)
    if (policy === undefined) {
      policy = { ...this.#policy, ...this.#rulesFor(name) }
      this.#policies.set(name, policy)
    }
    return policy
  }

  #rulesFor(name: string): Pick<FilePolicy, 'allowsYanked' | 'isBinaryRefused' | 'hashes'> {
    const { noBinary = [], constraints = [], requiresHashes = false } = this.#input
    const stated = [...this.#roots, ...constraints].filter(({ requirement }) => requirement.name === name)
    const pins = stated.flatMap(({ requirement }) => requirement.specifiers.filter(isPin))
    const hashes = stated.flatMap(statedHashes)
    const isHashed = requiresHashes || [...this.#roots, ...constraints].some((root) => (root.hashes ?? []).length > 0)
    return {
      allowsYanked: (version) =>
        pins.some((pin) => compareVersions(pin.version ?? parseVersion(pin.text), version) === 0) ||
        stated.some(({ requirement }) => requirement.url !== undefined) ||
        // Yanking is for those who choose anew; whoever has it keeps it, with a warning.
        this.#input.preferences?.get(name) === formatVersion(version),
      isBinaryRefused: noBinary.includes(':all:') || noBinary.includes(name),
      hashes: isHashed ? new Set(hashes) : undefined,
    }
  }

  #holds(requirement: Requirement): boolean {
    return holds(requirement, this.#environment, '')
  }

  #overridden(requirement: Requirement): Requirement {
    const override = this.#overrides.get(requirement.name)?.find((other) => this.#holds(other))
    return override === undefined ? requirement : { ...override, extras: [...requirement.extras, ...override.extras] }
  }

  #foresee(requirement: Requirement): void {
    const { name, specifiers } = requirement
    const known = this.#foreseen.get(name)
    if (known === undefined) this.#foreseen.set(name, [requirement])
    else known.push(requirement)
    const [loaded, guess] = [this.#loaded.get(name), this.#guesses.get(name)]
    if (loaded === undefined || guess === undefined || this.#set(loaded, specifiers).has(guess)) return
    // What was guessed before this was known is wrong now; the extras that were followed are followed again.
    this.#guesses.delete(name)
    const keys = [...this.#followed].filter((key) => this.baseOf(key) === name)
    for (const key of keys) this.#followed.delete(key)
    this.#follow({ ...requirement, extras: keys.flatMap((key) => extraOf(key) ?? []) })
  }

  /** Guesses the version of a requirement, fetches its metadata and goes on with what that requires. */
  #follow(requirement: Requirement): void {
    void this.#followNow(requirement).catch(() => {})
  }

  readonly #followed = new Set<PackageKey>()
  readonly #guesses = new Map<string, number>()

  async #followNow(requirement: Requirement): Promise<void> {
    const { name } = requirement
    const keys = [name, ...requirement.extras.map((extra) => `${name}[${normalizeName(extra)}]`)]
    const fresh = keys.filter((key) => !this.#followed.has(key))
    for (const key of fresh) this.#followed.add(key)
    if (fresh.length === 0) return
    const loaded = await this.#load(name)
    const index = this.#guess(loaded)
    if (index === undefined) return
    this.#guesses.set(name, index)
    const metadata = await this.metadataOf(loaded, index)
    const next = fresh.flatMap((key) => this.#requirementsOf(key, metadata)).map((r) => this.#overridden(r))
    for (const each of next) this.#foresee(each)
    for (const each of next) this.#follow(each)
  }

  #guess(loaded: LoadedProject): number | undefined {
    const constraints = this.#constraints.get(loaded.name) ?? []
    const known = [...(this.#foreseen.get(loaded.name) ?? []), ...constraints]
    const sets = known.map(({ specifiers }) => this.#set(loaded, specifiers))
    const all = sets.reduce(
      (a, b) => a.intersect(b),
      VersionSet.where(loaded.versions.length, () => true),
    )
    return this.#best(loaded, all)
  }
}

/** Errors that speak of one wheel and not of the index; another version may do. */
const UNREADABLE: ReadonlySet<string> = new Set(['WHEEL_INVALID', 'ARCHIVE_INVALID', 'REQUIREMENT_INVALID'])

function isPin(specifier: SpecifierSet[number]): boolean {
  return specifier.operator === '===' ? true : specifier.operator === '==' && !specifier.isPrefix
}

function extraOf(key: PackageKey): string | undefined {
  return /\[(.*)\]$/.exec(key)?.[1]
}

function groupByName(requirements: readonly Requirement[]): ReadonlyMap<string, readonly Requirement[]> {
  const groups = new Map<string, Requirement[]>()
  for (const requirement of requirements) {
    const group = groups.get(requirement.name)
    if (group === undefined) groups.set(requirement.name, [requirement])
    else group.push(requirement)
  }
  return groups
}

function parseTime(text: string): number {
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) {
    throw new BuildError('USAGE', `Not a time: \`${text}\``, {
      hint: 'Use a date such as 2026-11-01 or 2026-11-01T00:00:00Z.',
    })
  }
  return ms
}
