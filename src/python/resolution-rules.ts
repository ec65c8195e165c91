import { BuildError } from '../core/errors.ts'
import { chooseSource } from './choose-source.ts'
import type { ListedFile } from './index/client.ts'
import type { MarkerEnvironment } from './marker.ts'
import { baseRequirements, extraRequirements, holds, type Metadata } from './metadata.ts'
import type { FilePolicy, ProjectVersion } from './project-versions.ts'
import type { Requirement } from './requirement.ts'
import type { ResolutionInput, RootRequirement } from './resolution-input.ts'
import { allowsPython, targetPython } from './requires-python.ts'
import { extraOf } from './package-key.ts'
import type { PackageKey } from './solver/incompatibility.ts'
import type { SpecifierSet } from './specifier.ts'
import { statedHashes } from './stated-hashes.ts'
import { targetTags } from './tag.ts'
import { targetMarkers } from './target.ts'
import { compareVersions, formatVersion, parseVersion } from './version.ts'

/** What the user's input says of packages and their files on one target. Asks nobody. */
export class ResolutionRules {
  readonly input: ResolutionInput
  /** Requirements of the user that hold on the target. */
  readonly roots: readonly RootRequirement[]
  readonly #environment: MarkerEnvironment
  readonly #files: Pick<FilePolicy, 'tags' | 'python' | 'excludeNewerMs'>
  readonly #policies = new Map<string, FilePolicy>()
  readonly #requirements = new WeakMap<Metadata, Map<PackageKey, readonly Requirement[]>>()
  readonly #constraints: ReadonlyMap<string, readonly Requirement[]>
  readonly #overrides: ReadonlyMap<string, readonly Requirement[]>

  constructor(input: ResolutionInput) {
    const { target, excludeNewer } = input
    this.input = input
    this.#environment = targetMarkers(target)
    this.#files = {
      tags: targetTags(target),
      python: targetPython(target.pythonVersion),
      excludeNewerMs: excludeNewer === undefined ? undefined : parseTime(excludeNewer),
    }
    this.roots = input.requirements.filter(({ requirement }) => this.#holds(requirement))
    this.#constraints = groupByName(
      (input.constraints ?? []).map(({ requirement }) => requirement).filter((r) => this.#holds(r)),
    )
    this.#overrides = groupByName(input.overrides ?? [])
  }

  /** A file that must have a hash which the user states cannot be what an image has already. */
  get mayUseInstalled(): boolean {
    return this.input.requiresHashes !== true && !this.input.requirements.some(hasHashes)
  }

  /** Which files of a project may be taken. */
  policyFor(name: string): FilePolicy {
    let policy = this.#policies.get(name)
    if (policy === undefined) {
      policy = { ...this.#files, ...this.#rulesFor(name) }
      this.#policies.set(name, policy)
    }
    return policy
  }

  /** The source of a version, where sources may be taken at all. */
  sourceOf(version: ProjectVersion, name: string): ListedFile | undefined {
    const { onlyBinary = [] } = this.input
    if (onlyBinary.includes(':all:') || onlyBinary.includes(name)) return undefined
    return chooseSource(version, this.policyFor(name))
  }

  /** Tells whether the target's Python is one that is required. */
  allowsPython(specifiers: SpecifierSet): boolean {
    return allowsPython(specifiers, this.#files.python)
  }

  /** Constraints of the user for a project, as far as they hold on the target. */
  constraintsOf(name: string): readonly Requirement[] {
    return this.#constraints.get(name) ?? []
  }

  /** A requirement, or what the user puts in its place. */
  overridden(requirement: Requirement): Requirement {
    const override = this.#overrides.get(requirement.name)?.find((other) => this.#holds(other))
    return override === undefined ? requirement : { ...override, extras: [...requirement.extras, ...override.extras] }
  }

  /** What a package, or one extra of it, requires on the target; as written, without overrides. */
  requirementsOf(key: PackageKey, metadata: Metadata): readonly Requirement[] {
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

  /** What a package requires on the target together with its extras. */
  requirementsWith(metadata: Metadata, extras: readonly string[]): readonly Requirement[] {
    return [
      ...baseRequirements(metadata, this.#environment),
      ...extras.flatMap((extra) => extraRequirements(metadata, this.#environment, extra)),
    ]
  }

  #rulesFor(name: string): Pick<FilePolicy, 'allowsYanked' | 'isBinaryRefused' | 'hashes'> {
    const { noBinary = [], constraints = [], requiresHashes = false } = this.input
    const stated = [...this.roots, ...constraints].filter(({ requirement }) => requirement.name === name)
    const pins = stated.flatMap(({ requirement }) => requirement.specifiers.filter(isPin))
    const hashes = stated.flatMap(statedHashes)
    const isHashed = requiresHashes || [...this.roots, ...constraints].some(hasHashes)
    return {
      allowsYanked: (version) =>
        pins.some((pin) => compareVersions(pin.version ?? parseVersion(pin.text), version) === 0) ||
        stated.some(({ requirement }) => requirement.url !== undefined) ||
        // Yanking is for those who choose anew; whoever has it keeps it, with a warning.
        this.input.preferences?.get(name) === formatVersion(version),
      isBinaryRefused: noBinary.includes(':all:') || noBinary.includes(name),
      hashes: isHashed ? new Set(hashes) : undefined,
    }
  }

  #holds(requirement: Requirement): boolean {
    return holds(requirement, this.#environment, '')
  }
}

/** Tells whether a specifier allows one version alone. */
export function isPin(specifier: SpecifierSet[number]): boolean {
  return specifier.operator === '===' ? true : specifier.operator === '==' && !specifier.isPrefix
}

function hasHashes({ hashes = [] }: RootRequirement): boolean {
  return hashes.length > 0
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
