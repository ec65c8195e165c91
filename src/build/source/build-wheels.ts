import { createReadStream } from 'node:fs'
import { digestOf } from '../../core/digest.ts'
import { BuildError } from '../../core/errors.ts'
import { canonicalJson } from '../../core/json.ts'
import { startTask } from '../../core/progress.ts'
import type { RemoteFile } from '../../core/remote-file.ts'
import type { Layer } from '../../../layers/layer.ts'
import type { LockedWheel } from '../../python/lock.ts'
import type { PlannedSource } from '../../plan/plan.ts'
import { parseWheelName } from '../../python/wheel-name.ts'
import { formatVersion } from '../../python/version.ts'
import type { ResolvedIndexSettings } from '../../python/settings/index-settings.ts'
import { askBackend, type BackendAnswer } from './backend.ts'
import { fetchLocked, type FetchedSource } from './archives.ts'
import type { SourceContext } from './context.ts'
import { resolveBuildRequirements } from './requirements.ts'
import { layRequirements, type BuildSite } from './site.ts'
import { readSourceTexts } from './source-texts.ts'
import { readBuildSystem, type BuildSystem } from './static-metadata.ts'

/** A wheel that was built here; it lies in the store. */
export type BuiltWheel = RemoteFile & { readonly filename: string }

/** Part of keys: a change of how wheels are built makes all of them new. */
const BUILD_VERSION = 1

/** How wheels are built. */
export interface WheelBuilding {
  readonly site: BuildSite
  /** Where packages come from that a backend asks for when it runs; undefined when nobody may be asked. */
  readonly settings: ResolvedIndexSettings | undefined
}

/**
 * The wheel of a source: the one that was built from the same source with the same interpreter, lower layers and build
 * requirements, else a new one.
 *
 * @throws BuildError RUN_FAILED when the build fails, HOST_UNSUPPORTED where nothing can run it
 */
export async function buildWheel(
  planned: PlannedSource,
  building: WheelBuilding,
  context: SourceContext,
): Promise<BuiltWheel> {
  const { store } = context
  const title = `${planned.name} ${planned.version}`
  const cache = store.cache('wheels')
  const key = keyOf(planned, building.site, context)
  const known = parseBuilt(await cache.get(key))
  if (known !== undefined && (await store.has(`sha256:${known.sha256}`)) === known.sizeBytes) {
    startTask(context.report, `build ${title}`).end('cached')
    return known
  }
  const built = await buildAnew(planned, title, building, context)
  await cache.set(key, Buffer.from(JSON.stringify(built)))
  return built
}

/** Lays what a build requires into an environment of its own; what has no wheel is built first, in the same place. */
export async function layBuildRequirements(
  wheels: readonly LockedWheel[],
  building: WheelBuilding,
  context: SourceContext,
): Promise<readonly Layer[]> {
  const files = []
  for (const { name, version, source, filename, url, sha256, sizeBytes } of wheels) {
    const file = { filename, url, sha256, sizeBytes }
    files.push(source === undefined ? file : await buildWheel({ name, version, file, source }, building, context))
  }
  return layRequirements(building.site, files, context)
}

/** What a build depends on. Its network is part of it, since it may fetch what it packs. */
function keyOf({ file, source }: PlannedSource, site: BuildSite, { network, epochSeconds }: SourceContext): string {
  return digestOf(
    canonicalJson({
      version: BUILD_VERSION,
      source: file.sha256,
      subdirectory: source.place.subdirectory ?? null,
      interpreter: site.interpreter.version,
      platform: site.platform,
      lower: site.layers.map(({ diffId }) => diffId),
      requirements: source.buildRequires.map(requirementKey),
      network,
      epochSeconds,
    }),
  )
}

/** Of a source also what it is built with. */
function requirementKey({ sha256, source }: LockedWheel): unknown {
  return source === undefined ? sha256 : { sha256, place: source.place, with: source.buildRequires.map(requirementKey) }
}

async function buildAnew(
  planned: PlannedSource,
  title: string,
  building: WheelBuilding,
  context: SourceContext,
): Promise<BuiltWheel> {
  const { site, settings } = building
  const { source } = planned
  const fetched = await fetchLocked(planned.file, source.place, context)
  const { archive, hasTopFolder } = fetched
  const { subdirectory } = source.place
  const system = await systemOf(fetched, title, context)
  const question = { task: 'wheel' as const, source: { title, archive, hasTopFolder, subdirectory, system }, site }
  let wheels = source.buildRequires
  let granted = source.granted ?? []
  for (let round = 0; round < 2; round++) {
    const requirements = await layBuildRequirements(wheels, building, context)
    const answer = await askBackend({ ...question, requirements, granted }, context, (given) =>
      take(given, planned, context),
    )
    if ('sha256' in answer) return answer
    if (settings === undefined) {
      throw new BuildError(
        'LOCK_STALE',
        `The build of \`${title}\` asks for packages that the lock does not hold: ${answer.requires.join(', ')}`,
        {
          hint: 'Build without --locked, or take a version that has a wheel.',
        },
      )
    }
    granted = answer.requires
    const target = { pythonVersion: site.interpreter.version, platform: site.platform, libc: site.libc }
    wheels = await resolveBuildRequirements([...system.requires, ...granted], title, { target, settings }, context)
  }
  throw new BuildError(
    'RUN_FAILED',
    `The build of \`${title}\` asks for other packages each time: ${granted.join(', ')}`,
  )
}

async function systemOf(
  { archive, hasTopFolder, place }: FetchedSource,
  title: string,
  { store }: SourceContext,
): Promise<BuildSystem> {
  const file = await store.openFile(archive)
  try {
    return readBuildSystem(await readSourceTexts(file, title, hasTopFolder, place.subdirectory), title)
  } finally {
    await file.close()
  }
}

/** Takes the wheel into the store; the name must be of the package that was to be built. */
async function take(
  answer: BackendAnswer,
  { name, version }: PlannedSource,
  { store }: SourceContext,
): Promise<BuiltWheel | Extract<BackendAnswer, { kind: 'requires' }>> {
  if (answer.kind === 'requires') return answer
  if (answer.kind !== 'wheel') throw new TypeError('A backend that was asked for a wheel gave none')
  const wheel = parseWheelName(answer.filename)
  if (wheel.name !== name || formatVersion(wheel.version) !== version) {
    throw new BuildError(
      'WHEEL_INVALID',
      `The source of \`${name}\` ${version} gave another wheel: ${answer.filename}`,
      {
        hint: 'Its metadata contradicts its build. Choose another version.',
      },
    )
  }
  const { digest, size } = await store.put(createReadStream(answer.path))
  const sha256 = digest.slice('sha256:'.length)
  return { filename: answer.filename, url: `built:${answer.filename}`, sha256, sizeBytes: size }
}

function parseBuilt(bytes: Buffer | undefined): BuiltWheel | undefined {
  if (bytes === undefined) return undefined
  try {
    const { filename, url, sha256, sizeBytes } = JSON.parse(bytes.toString('utf8')) as Partial<BuiltWheel>
    if (typeof filename !== 'string' || typeof url !== 'string' || typeof sha256 !== 'string') return undefined
    return typeof sizeBytes === 'number' ? { filename, url, sha256, sizeBytes } : undefined
  } catch {
    // Our own entry, damaged: built anew.
    return undefined
  }
}
