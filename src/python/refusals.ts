import type { ProjectVersion, Refusal, RefusedFile, WheelChoice } from './project-versions.ts'
import type { VersionSet } from './solver/version-set.ts'
import { fullPythonVersion, machineOf, type Target } from './target.ts'

/** What is asked about refused versions. */
export interface RefusalSource {
  readonly target: Target
  wheelOf(version: ProjectVersion, name: string): WheelChoice
}

/** A version none of whose files can be taken, with the file that came nearest. */
export interface RefusedVersion {
  readonly version: ProjectVersion
  readonly nearest: Refusal
  readonly files: readonly RefusedFile[]
}

/** The later a file fails in this order, the nearer it came to being taken. */
const ORDER: readonly Refusal['kind'][] = ['source', 'too-new', 'no-binary', 'python', 'tag', 'yanked', 'hash']

/** The versions of a set that have no usable wheel. */
export function refusedVersions(
  source: RefusalSource,
  loaded: { readonly name: string; readonly versions: readonly ProjectVersion[] },
  set: VersionSet,
): readonly RefusedVersion[] {
  return set.indices().flatMap((index) => {
    const version = loaded.versions[index]
    const choice = version === undefined ? undefined : source.wheelOf(version, loaded.name)
    if (version === undefined || choice?.kind !== 'refused') return []
    const nearest = choice.files.reduce<RefusedFile | undefined>(
      (best, file) => (best === undefined || nearness(file.refusal) > nearness(best.refusal) ? file : best),
      undefined,
    )
    return nearest === undefined ? [] : [{ version, nearest: nearest.refusal, files: choice.files }]
  })
}

/** Why none of a set can be used, to follow a name: `has only source files`. */
export function describeRefusals(
  source: RefusalSource,
  loaded: { readonly name: string; readonly versions: readonly ProjectVersion[] },
  set: VersionSet,
): string {
  const reasons = new Set(refusedVersions(source, loaded, set).map(({ nearest }) => describe(nearest, source.target)))
  const [only] = reasons
  return reasons.size === 1 && only !== undefined ? only : 'has no usable wheel'
}

function describe(refusal: Refusal, target: Target): string {
  switch (refusal.kind) {
    case 'tag':
      return `has no wheel for ${describeTarget(target)}`
    case 'python':
      return `requires Python ${refusal.requiresPython}`
    case 'too-new':
      return 'was uploaded too late'
    case 'yanked':
      return 'was yanked'
    case 'hash':
      return refusal.isStated ? 'has no file with a stated hash' : 'has no hash stated for it'
    case 'source':
      return refusal.isUnproven ? 'has only source files, none with a stated hash' : 'has only source files'
    case 'no-binary':
      return 'has wheels, which are not allowed for it'
  }
}

/** A target in words: `Python 3.11 on x86_64 with glibc 2.28`. */
function describeTarget(target: Target): string {
  const python = fullPythonVersion(target.pythonVersion).split('.').slice(0, 2).join('.')
  const { kind, major, minor } = target.libc
  const suffix = target.isFreeThreaded === true ? 't' : ''
  return `Python ${python}${suffix} on ${machineOf(target.platform)} with ${kind} ${major}.${minor}`
}

function nearness(refusal: Refusal): number {
  const place = ORDER.indexOf(refusal.kind)
  return refusal.kind === 'tag' ? place + { platform: 0, python: 0.1, abi: 0.2 }[refusal.mismatch] : place
}
