import type { Http } from '../core/http.ts'
import type { DebianArchitecture } from './lock.ts'
import { fetchIndex } from './packages-index.ts'
import { fetchRelease, type ArchiveContext, type Release } from './release.ts'
import { isFlat, type ArchiveSource } from './source.ts'
import { makeUniverse, type Universe } from './universe.ts'

/** What archives have now, and the Release files that say so. */
export interface ReadUniverse {
  readonly universe: Universe
  /** In the order of the sources. */
  readonly releases: readonly Release[]
  /** Settles when the indexes are in the cache. Await it. */
  readonly kept: Promise<unknown>
}

/**
 * Universes that were read by the same transport, as long as memory has room for them: a run that resolves several
 * configurations asks the archive each time whether it has changed, and reads its indexes once.
 */
const readBefore = new WeakMap<Http, Map<string, WeakRef<Universe>>>()

/**
 * Proves the Release files of all sources and reads the indexes that they name.
 *
 * @throws BuildError SIGNATURE_INVALID, ARCHIVE_INVALID, ARCHIVE_UNAVAILABLE, DIGEST_MISMATCH
 */
export async function readUniverse(
  sources: readonly ArchiveSource[],
  architecture: DebianArchitecture,
  context: ArchiveContext,
): Promise<ReadUniverse> {
  const releases = await Promise.all(sources.map((source) => fetchRelease(source, context)))
  const known = readBefore.get(context.http) ?? new Map<string, WeakRef<Universe>>()
  readBefore.set(context.http, known)
  const key = JSON.stringify([
    architecture,
    releases.map(({ source, sha256 }) => [source.url, source.suite, source.components, sha256]),
  ])
  const before = known.get(key)?.deref()
  if (before !== undefined) return { universe: before, releases, kept: Promise.resolve() }
  const { universe, kept } = await makeNew(releases, architecture, context)
  known.set(key, new WeakRef(universe))
  return { universe, releases, kept }
}

async function makeNew(
  releases: readonly Release[],
  architecture: DebianArchitecture,
  context: ArchiveContext,
): Promise<Pick<ReadUniverse, 'universe' | 'kept'>> {
  const indexes = await Promise.all(
    releases.flatMap((release) => {
      const { source } = release
      const components = isFlat(source) ? [undefined] : source.components
      return components.map(async (component) => ({
        archive: source.url,
        ...(await fetchIndex(release, component, architecture, context)),
      }))
    }),
  )
  const kept = Promise.all(indexes.map((index) => index.kept))
  // Seen by whoever awaits it, later.
  kept.catch(() => {})
  const universe = makeUniverse(indexes.flatMap(({ archive, blocks }) => blocks.map((text) => ({ archive, text }))))
  return { universe, kept }
}
