import { BuildError } from '../core/errors.ts'
import type { ListedFile } from './index/client.ts'
import { parseMetadata, type Metadata } from './metadata.ts'
import type { ProjectVersion } from './project-versions.ts'
import { compareVersions, formatVersion, isPreRelease } from './version.ts'

/** A distribution that the target has already, where its interpreter looks for packages. */
export interface InstalledDistribution {
  /** Of its METADATA or PKG-INFO in the target, without a leading slash. */
  readonly path: string
  /** The text of that file. */
  readonly metadata: string
}

/** An installed distribution as the solver sees it: a version with one file that is there already. */
export interface InstalledVersion {
  readonly name: string
  readonly version: ProjectVersion
  readonly file: ListedFile
  readonly metadata: Metadata
}

/** Marks the made-up address of what is installed. */
const SCHEME = 'installed:'

/**
 * Reads installed distributions by normalised name; of two with one name the first one counts, as for the interpreter. What
 * has no readable name or version is left out: pip does not see it either.
 */
export function readInstalled(distributions: readonly InstalledDistribution[]): ReadonlyMap<string, InstalledVersion> {
  const found = new Map<string, InstalledVersion>()
  for (const { path, metadata: text } of distributions) {
    let metadata: Metadata
    try {
      metadata = parseMetadata(text, path)
    } catch (error) {
      if (error instanceof BuildError) continue
      throw error
    }
    const { name, version } = metadata
    if (!found.has(name)) found.set(name, toInstalled(name, version, path, metadata))
  }
  return found
}

function toInstalled(
  name: string,
  version: ProjectVersion['version'],
  path: string,
  metadata: Metadata,
): InstalledVersion {
  const file = { filename: path, url: `${SCHEME}${name}`, index: '', hashes: {} }
  return {
    name,
    file,
    metadata,
    version: {
      version,
      text: formatVersion(version),
      isPreRelease: isPreRelease(version),
      filenames: [path],
      fileAt: (place) => (place === 0 ? file : undefined),
    },
  }
}

/** The versions of an index with the installed one in its place, instead of the index's own of the same number. */
export function withInstalled(
  versions: readonly ProjectVersion[],
  { version }: InstalledVersion,
): readonly ProjectVersion[] {
  const others = versions.filter((other) => compareVersions(other.version, version.version) !== 0)
  return [...others, version].sort((a, b) => compareVersions(a.version, b.version))
}

/** Whether a file stands for something that is there already. */
export function isInstalled({ url }: ListedFile): boolean {
  return url.startsWith(SCHEME)
}
