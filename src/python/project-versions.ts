import type { IndexFile } from './index/page.ts'
import type { ListedFile, ListedPage } from './index/client.ts'
import { parseLenientSpecifiers } from './metadata.ts'
import { normalizeName } from './package-name.ts'
import { allowsPython, type TargetPython } from './requires-python.ts'
import type { SpecifierSet } from './specifier.ts'
import { rankWheel, tagMismatch, type TagMismatch, type TargetTags } from './tag.ts'
import { compareHashes } from './stated-hashes.ts'
import {
  canonicalVersion,
  compareVersions,
  formatVersion,
  isPreRelease,
  tryParseVersion,
  type Version,
} from './version.ts'
import { tryParseWheelName, type WheelName } from './wheel-name.ts'

/** One version of a project with the files that an index lists for it. */
export interface ProjectVersion {
  readonly version: Version
  /** Normal form. */
  readonly text: string
  readonly isPreRelease: boolean
  /** In the order of the pages. */
  readonly filenames: readonly string[]
  fileAt(place: number): ListedFile | undefined
}

/** Why a file is not taken. */
export type Refusal =
  | { readonly kind: 'tag'; readonly mismatch: TagMismatch; readonly wheel: WheelName }
  | { readonly kind: 'python'; readonly requiresPython: string }
  | { readonly kind: 'too-new'; readonly uploadTime: string | undefined }
  | { readonly kind: 'yanked'; readonly reason: string }
  /** Some requirement states a hash, so all need one; `isStated` tells whether this package has any. */
  | { readonly kind: 'hash'; readonly isStated: boolean }
  /** `isUnproven`: it could not be taken even where sources are, since a hash is required and it has none of the stated. */
  | { readonly kind: 'source'; readonly isUnproven: boolean }
  | { readonly kind: 'no-binary' }

/** A file that is not taken, with the reason. */
export interface RefusedFile {
  readonly file: ListedFile
  readonly refusal: Refusal
}

/** The best wheel of a version, or every file with the reason why it is not taken. */
export type WheelChoice =
  | { readonly kind: 'wheel'; readonly file: ListedFile }
  | { readonly kind: 'refused'; readonly files: readonly RefusedFile[] }

/** Which files of a project may be taken. */
export interface FilePolicy {
  readonly tags: TargetTags
  readonly python: TargetPython
  /** Milliseconds since the epoch; files uploaded at or after it do not exist. */
  readonly excludeNewerMs: number | undefined
  readonly allowsYanked: (version: Version) => boolean
  /** Wheels of this project are not to be taken. */
  readonly isBinaryRefused: boolean
  /** `sha256:...`; undefined when any file will do. */
  readonly hashes: ReadonlySet<string> | undefined
}

/** Sorts the files of a project by version, oldest first; what is neither wheel nor source distribution is left out. */
export function groupVersions(name: string, pages: readonly ListedPage[]): readonly ProjectVersion[] {
  const groups = new Map<string, { readonly version: Version; readonly runs: Run[] }>()
  for (const [text, runs] of runsByVersion(name, pages)) {
    const version = tryParseVersion(text)
    if (version === undefined) continue
    const key = canonicalVersion(version)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { version, runs })
    else group.runs.push(...runs)
  }
  return [...groups.values()]
    .sort((a, b) => compareVersions(a.version, b.version))
    .map(({ version, runs }) => lazyVersion(version, runs))
}

/** Neighbouring entries of a page that are of one version. */
interface Run {
  readonly listed: ListedPage
  readonly from: number
  to: number
}

// Pages list thousands of files, those of one version side by side: most names are only compared with the one before.
function runsByVersion(name: string, pages: readonly ListedPage[]): ReadonlyMap<string, Run[]> {
  const byText = new Map<string, Run[]>()
  const isOfProject = projectTest(name)
  for (const listed of pages) {
    let prefix: string | undefined
    let run: Run | undefined
    for (const [place, filename] of listed.page.filenames.entries()) {
      if (prefix !== undefined && run !== undefined && filename.startsWith(prefix) && filename.endsWith('.whl')) {
        run.to = place
        continue
      }
      const [project, text] = splitFilename(filename) ?? []
      run = undefined
      if (project === undefined || text === undefined || !isOfProject(project)) continue
      prefix = filename.endsWith('.whl') ? `${project}-${text}-` : undefined
      run = { listed, from: place, to: place }
      const runs = byText.get(text)
      if (runs === undefined) byText.set(text, [run])
      else runs.push(run)
    }
  }
  return byText
}

function lazyVersion(version: Version, runs: readonly Run[]): ProjectVersion {
  let places: readonly (readonly [ListedPage, number])[] | undefined
  const entries = (): NonNullable<typeof places> => {
    places ??= runs.flatMap(({ listed, from, to }) =>
      Array.from({ length: to - from + 1 }, (_, i) => [listed, from + i] as const),
    )
    return places
  }
  return {
    version,
    text: formatVersion(version),
    isPreRelease: isPreRelease(version),
    get filenames() {
      return entries().map(([{ page }, place]) => page.filenames[place] ?? '')
    },
    fileAt(place) {
      const [listed, at] = entries()[place] ?? []
      const file = listed === undefined || at === undefined ? undefined : listed.page.fileAt(at)
      return file === undefined || listed === undefined ? undefined : { ...file, index: listed.index }
    },
  }
}

/** Chooses the wheel of a version: the best tag, then the highest build number. */
export function chooseWheel(version: ProjectVersion, policy: FilePolicy): WheelChoice {
  let best: { file: ListedFile; rank: number; wheel: WheelName; isProven: boolean } | undefined
  for (const [place, filename] of version.filenames.entries()) {
    // Most wheels are for other platforms; their names tell, and nothing else of them is read.
    const rank = rankFilename(filename, policy.tags)
    if (rank === undefined || (best !== undefined && rank > best.rank)) continue
    const file = version.fileAt(place)
    const wheel = tryParseWheelName(filename)
    if (file === undefined || wheel === undefined || refuse(file, wheel, version, policy) !== undefined) continue
    const isProven = policy.hashes === undefined || compareHashes(file, policy.hashes) === 'same'
    // A folder may hold another build of the same name than the one whose hash is stated.
    const order = best === undefined ? -1 : rank - best.rank || Number(best.isProven) - Number(isProven)
    if (best === undefined || order < 0 || (order === 0 && compareBuilds(wheel, best.wheel) > 0))
      best = { file, rank, wheel, isProven }
  }
  return best === undefined ? { kind: 'refused', files: refusals(version, policy) } : { kind: 'wheel', file: best.file }
}

function refusals(version: ProjectVersion, policy: FilePolicy): readonly RefusedFile[] {
  return version.filenames.flatMap((filename, place) => {
    const file = version.fileAt(place)
    const refusal = file === undefined ? undefined : refuse(file, tryParseWheelName(filename), version, policy)
    return file === undefined || refusal === undefined ? [] : [{ file, refusal }]
  })
}

function rankFilename(filename: string, tags: TargetTags): number | undefined {
  if (!filename.endsWith('.whl')) return undefined
  const platform = filename.lastIndexOf('-')
  const abi = filename.lastIndexOf('-', platform - 1)
  const python = filename.lastIndexOf('-', abi - 1)
  const platforms = filename.slice(platform + 1, -4).toLowerCase()
  if (!platforms.includes('.') && !tags.platforms.has(platforms)) return undefined
  return rankWheel(
    {
      pythons: filename
        .slice(python + 1, abi)
        .toLowerCase()
        .split('.'),
      abis: filename
        .slice(abi + 1, platform)
        .toLowerCase()
        .split('.'),
      platforms: platforms.split('.'),
    },
    tags,
  )
}

function refuse(
  file: ListedFile,
  wheel: WheelName | undefined,
  version: ProjectVersion,
  policy: FilePolicy,
): Refusal | undefined {
  const { excludeNewerMs } = policy
  if (excludeNewerMs !== undefined && !isOlder(file, excludeNewerMs))
    return { kind: 'too-new', uploadTime: file.uploadTime }
  if (wheel === undefined)
    return { kind: 'source', isUnproven: policy.hashes !== undefined && !mayHaveHash(file, policy.hashes) }
  if (policy.isBinaryRefused) return { kind: 'no-binary' }
  const requiresPython = refusedPython(file, policy)
  if (requiresPython !== undefined) return { kind: 'python', requiresPython }
  if (rankWheel(wheel, policy.tags) === undefined) {
    return { kind: 'tag', mismatch: tagMismatch(wheel, policy.tags), wheel }
  }
  return refuseRelease(file, version, policy)
}

/** Why a file may not be taken, whatever kind of file it is. */
export function refuseFile(file: ListedFile, version: ProjectVersion, policy: FilePolicy): Refusal | undefined {
  const { excludeNewerMs } = policy
  if (excludeNewerMs !== undefined && !isOlder(file, excludeNewerMs))
    return { kind: 'too-new', uploadTime: file.uploadTime }
  const requiresPython = refusedPython(file, policy)
  if (requiresPython !== undefined) return { kind: 'python', requiresPython }
  return refuseRelease(file, version, policy)
}

function refusedPython({ requiresPython }: ListedFile, policy: FilePolicy): string | undefined {
  return requiresPython === undefined || fitsPython(requiresPython, policy) ? undefined : requiresPython
}

function refuseRelease(file: ListedFile, version: ProjectVersion, policy: FilePolicy): Refusal | undefined {
  const { hashes } = policy
  if (file.yanked !== undefined && !policy.allowsYanked(version.version)) return { kind: 'yanked', reason: file.yanked }
  if (hashes !== undefined && !mayHaveHash(file, hashes)) return { kind: 'hash', isStated: hashes.size > 0 }
  return undefined
}

function isOlder(file: IndexFile, limitMs: number): boolean {
  return file.uploadTime !== undefined && Date.parse(file.uploadTime) < limitMs
}

/** A wheel can be proven before anything is made of it; a source would be run to know what it is. */
function mayHaveHash(file: IndexFile, hashes: ReadonlySet<string>): boolean {
  const answer = compareHashes(file, hashes)
  return answer === 'same' || (answer === 'unknown' && file.filename.endsWith('.whl'))
}

const pythonSpecifiers = new Map<string, SpecifierSet>()

function fitsPython(text: string, policy: FilePolicy): boolean {
  let specifiers = pythonSpecifiers.get(text)
  if (specifiers === undefined) {
    try {
      specifiers = parseLenientSpecifiers(text)
    } catch {
      // What nobody can read forbids nothing, as pip sees it.
      specifiers = []
    }
    if (pythonSpecifiers.size > 1000) pythonSpecifiers.clear()
    pythonSpecifiers.set(text, specifiers)
  }
  return allowsPython(specifiers, policy.python)
}

function compareBuilds(a: WheelName, b: WheelName): number {
  const [aNumber, aRest] = a.build ?? [-1, '']
  const [bNumber, bRest] = b.build ?? [-1, '']
  return aNumber - bNumber || (aRest < bRest ? -1 : aRest > bRest ? 1 : 0)
}

/** Project and version as a file name spells them; undefined for what is neither wheel nor source distribution. */
function splitFilename(filename: string): readonly [string, string] | undefined {
  if (filename.endsWith('.whl')) {
    const start = filename.indexOf('-')
    return [filename.slice(0, start), filename.slice(start + 1, filename.indexOf('-', start + 1))]
  }
  const end = filename.endsWith('.tar.gz') ? -7 : filename.endsWith('.zip') ? -4 : undefined
  if (end === undefined) return undefined
  const start = filename.lastIndexOf('-')
  return [filename.slice(0, start), filename.slice(start + 1, end)]
}

/** A hostile or sloppy page may list files of another project. */
function projectTest(name: string): (spelling: string) => boolean {
  const known = new Map<string, boolean>()
  return (spelling) => {
    const answer = known.get(spelling) ?? normalizeName(spelling) === name
    known.set(spelling, answer)
    return answer
  }
}
