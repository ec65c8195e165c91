import { BuildError } from '../core/errors.ts'
import { Foresight, type ForeseenSource } from './foresight.ts'
import type { IndexClient, ListedFile, Project } from './index/client.ts'
import { pageOf } from './index/page.ts'
import { readInstalled, withInstalled, type InstalledVersion } from './installed.ts'
import type { LoadedProject } from './loaded-project.ts'
import { parseMetadata, type Metadata } from './metadata.ts'
import { baseOf } from './package-key.ts'
import { normalizeName } from './package-name.ts'
import { chooseWheel, groupVersions, type ProjectVersion, type WheelChoice } from './project-versions.ts'
import { describeRefusals } from './refusals.ts'
import type { Requirement } from './requirement.ts'
import type { ResolutionInput, RootRequirement } from './resolution-input.ts'
import { isPin, ResolutionRules } from './resolution-rules.ts'
import { ROOT, type PackageKey, type Unmet } from './solver/incompatibility.ts'
import type { Choice, Dependencies, Dependency, SolverSource } from './solver/pubgrub.ts'
import { VersionSet } from './solver/version-set.ts'
import type { DescribedSource, SourceReader } from './source-package.ts'
import { formatSpecifier, formatSpecifiers, matchesSpecifiers, type SpecifierSet } from './specifier.ts'
import { compareHashes } from './stated-hashes.ts'
import type { Target } from './target.ts'
import { comparePublic, formatVersion, type Version } from './version.ts'

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
  readonly #rules: ResolutionRules
  readonly #loaded = new Map<string, LoadedProject>()
  readonly #loading = new Map<string, Promise<LoadedProject>>()
  readonly #choices = new Map<ProjectVersion, WheelChoice>()
  readonly #metadata = new Map<string, Promise<Metadata>>()
  readonly #sets = new Map<string, VersionSet>()
  readonly #labels = new Map<string, string>()
  readonly #direct: ReadonlyMap<string, DirectWheel>
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
    this.#client = client
    this.#sources = sources
    this.#rules = new ResolutionRules(input)
    this.#direct = new Map(direct.map((wheel) => [wheel.name, wheel]))
    this.#installed = readInstalled(this.#rules.mayUseInstalled ? (input.installed ?? []) : [])
    for (const { file, described } of direct) {
      if (described !== undefined) this.#described.set(file.url, Promise.resolve(described))
    }
  }

  get target(): Target {
    return this.#rules.input.target
  }

  get excludeNewer(): string | undefined {
    return this.#rules.input.excludeNewer
  }

  /** Requirements of the user that hold on the target. */
  get roots(): readonly RootRequirement[] {
    return this.#rules.roots
  }

  /** Requirements of the user whose packages no index has; `text` is the requirement. */
  unknownRoots(): readonly (LoadedProject & { readonly text: string })[] {
    const unknown = new Map<string, LoadedProject & { readonly text: string }>()
    for (const { requirement } of this.#rules.roots) {
      const { name, specifiers } = this.#rules.overridden(requirement)
      const loaded = this.#loaded.get(name)
      if (loaded?.versions.length === 0) unknown.set(name, { ...loaded, text: name + formatSpecifiers(specifiers) })
    }
    return [...unknown.values()]
  }

  /** A project that has been asked for. */
  loaded(key: PackageKey): LoadedProject | undefined {
    return this.#loaded.get(baseOf(key))
  }

  baseOf(key: PackageKey): PackageKey {
    return baseOf(key)
  }

  /** The wheel of a version, or why it has none. */
  wheelOf(version: ProjectVersion, name: string): WheelChoice {
    let choice = this.#choices.get(version)
    if (choice === undefined) {
      choice = chooseWheel(version, this.#rules.policyFor(name))
      this.#choices.set(version, choice)
    }
    return choice
  }

  /** The requirement from which a set came, in words. */
  labelOf(key: PackageKey, set: VersionSet): string | undefined {
    return this.#labels.get(`${key} ${set.key}`)
  }

  async choose(key: PackageKey, set: VersionSet): Promise<Choice> {
    const loaded = await this.#load(baseOf(key))
    const index = this.#best(loaded, set) ?? this.#bestSource(loaded, set)
    if (index !== undefined) return { kind: 'version', index }
    return { kind: 'unusable', reason: describeRefusals(this, loaded, set) }
  }

  async dependencies(key: PackageKey, index: number): Promise<Dependencies> {
    if (key === ROOT) {
      const requirements = this.#rules.roots.map(({ requirement }) => requirement)
      return { kind: 'known', dependencies: await this.#toDependencies(requirements, undefined) }
    }
    const base = baseOf(key)
    const loaded = await this.#load(base)
    let metadata: Metadata
    try {
      metadata = await this.metadataOf(loaded, index)
    } catch (error) {
      if (error instanceof BuildError && UNREADABLE.has(error.code))
        return { kind: 'unusable', reason: `cannot be read (${error.message})` }
      throw this.#withDependants(error, base)
    }
    if (!this.#rules.allowsPython(metadata.requiresPython)) {
      return { kind: 'unusable', reason: `requires Python ${formatSpecifiers(metadata.requiresPython)}` }
    }
    const requirements = this.#rules.requirementsOf(key, metadata)
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
    const isAsked = this.#rules.roots.some(({ requirement }) => requirement.name === name)
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
    const { hashes } = this.#rules.policyFor(name)
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
      // Who asked ahead may never wait for it; who waits gets the rejection all the same.
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
    return this.#rules.requirementsWith(metadata, extras)
  }

  /** Starts to fetch what the solver will ask for, as far as it can be foreseen. Never fails. */
  prefetch(): void {
    const foresight: ForeseenSource = {
      load: (name) => this.#load(name),
      loaded: (key) => this.loaded(key),
      setOf: (loaded, specifiers) => this.#set(loaded, specifiers),
      best: (loaded, set) => this.#best(loaded, set),
      metadataOf: (loaded, index) => this.metadataOf(loaded, index),
    }
    new Foresight(foresight, this.#rules).begin()
  }

  /** A package that fails again and again will soon need its next versions. */
  tried(key: PackageKey, set: VersionSet, times: number): void {
    const loaded = this.loaded(key)
    if (loaded === undefined || times < 3) return
    let ahead = Math.min(times, 10)
    for (const index of this.#preferred(loaded, set)) {
      const version = loaded.versions[index]
      if (version === undefined || this.wheelOf(version, loaded.name).kind !== 'wheel') continue
      // Asked ahead: what fails is told to whoever needs it.
      this.metadataOf(loaded, index).catch(() => {})
      if (--ahead === 0) return
    }
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
      // As above.
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
    const effective = requirements.map((requirement) => this.#rules.overridden(requirement))
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
    const constraints = this.#rules.constraintsOf(requirement.name)
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
    return this.#sources === undefined ? undefined : this.#rules.sourceOf(version, name)
  }

  async #describe(file: ListedFile | undefined): Promise<DescribedSource | undefined> {
    if (file === undefined || this.#sources === undefined) return undefined
    const known = this.#described.get(file.url) ?? this.#sources.listed(file)
    // As above.
    known.catch(() => {})
    this.#described.set(file.url, known)
    return known
  }

  /** What is there already or in an earlier lock, then newest first; pre-releases last unless they are welcome. */
  *#preferred(loaded: LoadedProject, set: VersionSet): Generator<number> {
    const installed = this.#installed.get(loaded.name)?.version
    const preference = installed?.text ?? this.#rules.input.preferences?.get(loaded.name)
    const kept = preference === undefined ? -1 : loaded.versions.findIndex(({ text }) => text === preference)
    if (kept !== -1 && set.has(kept)) yield kept
    const isEqual = this.#rules.input.allowsPreReleases === true
    for (const isSecond of isEqual ? [false] : [false, true]) {
      for (let index = loaded.versions.length - 1; index >= 0; index--) {
        if (index !== kept && set.has(index) && (isEqual || loaded.versions[index]?.isPreRelease === isSecond))
          yield index
      }
    }
  }
}

/** Errors that speak of one wheel and not of the index; another version may do. */
const UNREADABLE: ReadonlySet<string> = new Set(['WHEEL_INVALID', 'ARCHIVE_INVALID', 'REQUIREMENT_INVALID'])
