import { digestOf } from '../../core/digest.ts'
import { canonicalJson } from '../../core/json.ts'
import { maskUrl } from '../../core/http.ts'
import { BuildError } from '../../core/errors.ts'
import type { LockedWheel } from '../../python/lock.ts'
import type { DescribedSource, SourceReader } from '../../python/source-package.ts'
import type { SourceSite } from '../../resolve/context.ts'
import { askBackend, type BackendAnswer } from './backend.ts'
import { fetchListed, fetchNamed, type FetchedSource } from './archives.ts'
import { layBuildRequirements } from './build-wheels.ts'
import type { SourceContext } from './context.ts'
import { makeSite, type BuildSite } from './site.ts'
import { readSourceTexts } from './source-texts.ts'
import { readBuildSystem, readStaticMetadata, type BuildSystem } from './static-metadata.ts'
import { resolveBuildRequirements, type RequirementsSite } from './requirements.ts'

/** Part of keys: a change of how metadata is had makes all of it new. */
const METADATA_VERSION = 1

/** Rounds in which a backend may ask for more packages. */
const MAX_ROUNDS = 3

/** Builds that wait for builds; real ones need two or three. */
const MAX_DEPTH = 10

/** Describes sources for one platform's resolution; each once. What they require to be built may be sources in their turn. */
export function makeSourceReader(site: SourceSite, context: SourceContext): SourceReader {
  const { platform, interpreter, libc, settings } = site
  const place: RequirementsSite = { target: { pythonVersion: interpreter.version, platform, libc }, settings }
  let sandbox: Promise<BuildSite> | undefined
  const openSandbox = (): Promise<BuildSite> => {
    sandbox ??= site
      .base()
      .then(({ base, systemPackages }) =>
        makeSite(
          { platform, interpreter, libc, base, ...(systemPackages === undefined ? {} : { systemPackages }) },
          site.systemPackages,
          context,
        ),
      )
    return sandbox
  }
  const named = new Map<string, Promise<DescribedSource>>()
  const readerFor = (chain: readonly WaitingBuild[]): SourceReader => {
    const describe = (fetched: FetchedSource, title: string): Promise<DescribedSource> => {
      const build = { title, key: `${fetched.file.sha256} ${fetched.place.subdirectory ?? ''}` }
      assertNoCircle(build, chain)
      return describeSource(fetched, title, { ...place, openSandbox, sources: readerFor([...chain, build]) }, context)
    }
    return {
      listed: async (file) =>
        describe(await fetchListed(file, context), file.filename.replace(/\.(?:tar\.gz|zip)$/, '')),
      named: (location) => {
        const open = async (): Promise<DescribedSource> =>
          describe(await fetchNamed(location, context), maskUrl(location))
        // Asked for again while it waits for itself, it has to come round to be found out.
        if (chain.length > 0) return open()
        const known = named.get(location) ?? open()
        named.set(location, known)
        return known
      },
    }
  }
  return readerFor([])
}

/** A source whose build waits for another one. */
interface WaitingBuild {
  readonly title: string
  readonly key: string
}

/** @throws BuildError RESOLVE_CONFLICT where builds wait for each other */
function assertNoCircle(build: WaitingBuild, chain: readonly WaitingBuild[]): void {
  const isCircle = chain.some(({ key }) => key === build.key)
  if (!isCircle && chain.length < MAX_DEPTH) return
  const path = [...chain, build].map(({ title }) => title).join(' -> ')
  const what = isCircle
    ? 'These builds require each other, and none has a wheel'
    : 'Too many builds wait for each other'
  throw new BuildError('RESOLVE_CONFLICT', `${what}: ${path}`, {
    hint: 'Limit one of them to a version that has a wheel (PIP_BUILD_CONSTRAINT), or build its wheel elsewhere and name the file.',
  })
}

/** Where a source is described, and with what. */
interface DescribingPlace extends RequirementsSite {
  readonly openSandbox: () => Promise<BuildSite>
  /** For what the build requires. */
  readonly sources: SourceReader
}

/** What asking a backend for metadata gave; kept, since it holds for the same source, Python and platform. */
interface Prepared {
  readonly metadata: string
  /** What the backend asked for beyond what it states. */
  readonly granted: readonly string[]
}

async function describeSource(
  fetched: FetchedSource,
  title: string,
  place: DescribingPlace,
  context: SourceContext,
): Promise<DescribedSource> {
  const { store } = context
  const file = await store.openFile(fetched.archive)
  const { subdirectory } = fetched.place
  let texts
  try {
    texts = await readSourceTexts(file, title, fetched.hasTopFolder, subdirectory)
  } finally {
    await file.close()
  }
  const system = readBuildSystem(texts, title)
  const metadata = readStaticMetadata(texts, title)
  const buildRequires = await resolveBuildRequirements(system.requires, title, place, context, place.sources)
  if (metadata !== undefined) return { metadata, file: fetched.file, source: { place: fetched.place, buildRequires } }
  const cache = store.cache('sources')
  const key = digestOf(
    canonicalJson({ version: METADATA_VERSION, sha256: fetched.file.sha256, subdirectory, target: place.target }),
  )
  const known = parsePrepared(await cache.get(key))
  const prepared = known ?? (await prepare({ fetched, title, system, buildRequires }, place, context))
  if (known === undefined) await cache.set(key, Buffer.from(JSON.stringify(prepared)))
  const { granted } = prepared
  return {
    metadata: prepared.metadata,
    file: fetched.file,
    source: {
      place: fetched.place,
      buildRequires:
        granted.length === 0
          ? buildRequires
          : await resolveBuildRequirements([...system.requires, ...granted], title, place, context, place.sources),
      ...(granted.length === 0 ? {} : { granted }),
    },
  }
}

interface Preparing {
  readonly fetched: FetchedSource
  readonly title: string
  readonly system: BuildSystem
  readonly buildRequires: readonly LockedWheel[]
}

async function prepare(
  { fetched, title, system, buildRequires }: Preparing,
  place: DescribingPlace,
  context: SourceContext,
): Promise<Prepared> {
  const site = await place.openSandbox()
  const { archive, hasTopFolder } = fetched
  const source = { title, archive, hasTopFolder, system, subdirectory: fetched.place.subdirectory }
  let granted: readonly string[] = []
  let wheels = buildRequires
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const requirements = await layBuildRequirements(wheels, { site, settings: undefined }, context)
    const answer = await askBackend<BackendAnswer>(
      { task: 'metadata', source, site, requirements, granted },
      context,
      async (given) => given,
    )
    if (answer.kind === 'metadata') return { metadata: answer.text, granted }
    if (answer.kind !== 'requires') break
    granted = answer.requires
    wheels = await resolveBuildRequirements([...system.requires, ...granted], title, place, context, place.sources)
  }
  throw new BuildError(
    'RUN_FAILED',
    `The build of \`${title}\` asks for other packages each time: ${granted.join(', ')}`,
  )
}

function parsePrepared(bytes: Buffer | undefined): Prepared | undefined {
  if (bytes === undefined) return undefined
  try {
    const { metadata, granted } = JSON.parse(bytes.toString('utf8')) as Partial<Prepared>
    return typeof metadata === 'string' && Array.isArray(granted) ? { metadata, granted } : undefined
  } catch {
    // Our own entry, damaged: asked again.
    return undefined
  }
}
