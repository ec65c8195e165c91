import type { ListedFile } from '../index/client.ts'
import { refusedVersions } from '../refusals.ts'
import { chooseWheel, type WheelChoice } from '../project-versions.ts'
import { targetPython } from '../requires-python.ts'
import { hintsFor } from '../hints.ts'
import { ResolveError } from '../resolve-error.ts'
import { VersionSet } from '../solver/version-set.ts'
import { targetTags, type TargetTags } from '../tag.ts'
import type { Target } from '../target.ts'
import { formatVersion, isPreRelease, parseVersion } from '../version.ts'

/**
 * Picks the wheel of a locked version that fits a target best.
 *
 * @throws ResolveError WHEEL_NOT_FOUND naming the files and why each does not fit
 */
export function pickLockedWheel(
  name: string,
  version: string,
  files: readonly ListedFile[],
  target: Target,
): ListedFile {
  const parsed = parseVersion(version)
  const locked = {
    version: parsed,
    text: formatVersion(parsed),
    isPreRelease: isPreRelease(parsed),
    filenames: files.map(({ filename }) => filename),
    fileAt: (place: number) => files[place],
  }
  const choice: WheelChoice = chooseWheel(locked, {
    tags: tagsOf(target),
    python: targetPython(target.pythonVersion),
    excludeNewerMs: undefined,
    allowsYanked: () => true,
    isBinaryRefused: false,
    hashes: undefined,
  })
  if (choice.kind === 'wheel') return choice.file
  const source = { target, excludeNewer: undefined, wheelOf: () => choice }
  const loaded = { name, versions: [locked], project: { name, pages: [], asked: [], unasked: [] } }
  const set = VersionSet.of(1, 0)
  const refused = refusedVersions(source, loaded, set)
  const sentence = refused.length === 0 ? 'names no file' : 'names no wheel that fits'
  const proof = { terms: new Map([[name, set]]), cause: { kind: 'unusable', package: name, reason: sentence } } as const
  throw new ResolveError(
    'WHEEL_NOT_FOUND',
    [`The lock ${sentence} for \`${name}\` ${locked.text}.`],
    hintsFor(proof, { ...source, loaded: () => loaded }),
  )
}

const tags = new WeakMap<Target, TargetTags>()

function tagsOf(target: Target): TargetTags {
  const known = tags.get(target) ?? targetTags(target)
  tags.set(target, known)
  return known
}
