import { resolve } from 'node:path'
import type { Digest } from 'oci-spec-types'
import type { Compression } from '../../layers/compress.ts'
import { formatFamiliar, parseReference, referenceTag } from '../../registry/reference.ts'
import {
  recallBuild,
  rememberBuild,
  type BuildIdentity,
  type BuildMemory,
  type HeadTag,
  type RememberedPlace,
} from '../build/memory.ts'
import type { BuildResult } from '../build.ts'
import { basisMemory } from '../build/plan-basis.ts'
import { stateDigest, stateLooker, type LookAtState } from '../build/project-state.ts'
import { digestOf } from '../core/digest.ts'
import { BuildError } from '../core/errors.ts'
import { startTask } from '../core/progress.ts'
import { formatLocation, resolvePath, type Location } from '../destinations/location.ts'
import { holdStore } from '../store/lease.ts'
import { storeLocation } from '../store/location.ts'
import { Store } from '../store/store.ts'
import type { AttestOptions } from './attest.ts'
import type { Io } from './command.ts'
import type { CacheOptions } from './shared-cache.ts'
import { localImage } from './locations.ts'
import { assertLazy, outputAt, parseOutput, type Output } from './output.ts'
import { modeOf, projectPath } from './project-options.ts'
import { readNamedFile } from './read-named-file.ts'
import { readSecrets } from './read-secrets.ts'

/** What the options of `build` and of `push` say. */
export interface BuildOptions extends CacheOptions, AttestOptions {
  readonly tag: readonly string[]
  readonly output: readonly string[]
  readonly push?: boolean
  readonly load?: boolean
  readonly platform: readonly string[]
  readonly format: 'oci' | 'docker'
  readonly compression: Compression
  readonly lazy?: boolean
  readonly refresh?: boolean
  readonly locked?: boolean
  readonly verify?: boolean
  readonly file?: string
  readonly iidfile?: string
  readonly metadataFile?: string
  readonly secret: readonly string[]
  readonly network: 'host' | 'none'
  /** False with `--no-step-caches`. */
  readonly stepCaches: boolean
  /** False with `--no-build`. */
  readonly build: boolean
  readonly timings?: boolean
  /** False with `--no-store`. */
  readonly store: boolean
  readonly insecure?: boolean
  readonly json?: boolean
}

/** What is printed of a build. */
interface BuildSummary {
  readonly digest: Digest
  readonly destinations: readonly string[]
  readonly platforms: BuildMemory['platforms']
}

/** Builds, writes to every destination and prints the result. */
export async function runBuild(project: string, options: BuildOptions, io: Io): Promise<void> {
  const summary =
    options.timings === true ? await buildTimed(project, options, io) : await makeBuild(project, options, io)
  await printSummary(summary, options, io)
}

async function buildTimed(project: string, options: BuildOptions, io: Io): Promise<BuildSummary> {
  const { keepTimes } = await import('./progress/timings.ts')
  const keeper = keepTimes(io.report)
  const summary = await makeBuild(project, options, { ...io, report: keeper.report })
  io.report({ type: 'timings', timings: keeper.timings() })
  return summary
}

/** Builds a project into the local store, as `build` without an option does. */
export async function buildLocally(project: string, io: Io): Promise<void> {
  await makeBuild(project, PLAIN_BUILD, io)
}

const PLAIN_BUILD: BuildOptions = {
  tag: [],
  output: [],
  platform: [],
  format: 'oci',
  compression: 'gzip',
  secret: [],
  network: 'host',
  stepCaches: true,
  build: true,
  store: true,
  cacheFrom: [],
  cacheTo: [],
  cacheTrustKey: [],
}

/** Options that say how a build is told or run, and nothing of what it makes. */
const TELLING: readonly string[] = ['iidfile', 'metadataFile', 'json', 'progress', 'quiet', 'timings', 'stepCaches']

/**
 * Builds and writes to every destination.
 *
 * A build that has been done already, with nothing changed since, loads none of the machinery: most of the time of such
 * a run is the start of the process.
 */
async function makeBuild(project: string, options: BuildOptions, io: Io): Promise<BuildSummary> {
  const path = projectPath(project, options, io.cwd)
  if (!options.store) return buildWithoutStore(path, options, io)
  const maxBytes = await storeLimit(io)
  const store = await Store.open(await storeLocation({ env: io.env }))
  const making = Object.entries(options).filter(([name]) => !TELLING.includes(name))
  const identity: BuildIdentity = {
    project: path,
    options: { ...Object.fromEntries(making), cwd: io.cwd, store: store.folder, ...(await keyIdentity(options, io)) },
    env: io.env,
  }
  const mayRecall = options.refresh !== true && options.load !== true && options.verify !== true
  const look = stateLooker(store, io.env)
  const memory = mayRecall
    ? await recallBuild(identity, store, Date.now(), (reference) => headTag(reference, options, io), look)
    : undefined
  if (memory !== undefined) {
    startTask(io.report, 'image').end('cached')
    const destinations = memory.places.map(({ name }) => name)
    return { digest: memory.root.digest, destinations, platforms: memory.platforms }
  }
  const release = await holdStore(store.folder)
  let summary: BuildSummary
  try {
    summary = await buildAnew(path, { identity, look }, options, store, io)
  } finally {
    await release()
  }
  if (maxBytes !== undefined) await (await import('../store/prune.ts')).pruneStore(store, { maxBytes })
  return summary
}

/** Another key at the same place makes other statements. */
async function keyIdentity({ attestKey }: BuildOptions, io: Io): Promise<{ readonly attestKeyDigest?: Digest }> {
  return attestKey === undefined ? {} : { attestKeyDigest: digestOf(await readNamedFile(attestKey, io.cwd)) }
}

/** Builds with nothing on the disk, but for tables for lazy pulling: layers are sent where they go while they are made. */
async function buildWithoutStore(path: string, options: BuildOptions, io: Io): Promise<BuildSummary> {
  if (options.cacheFrom.length > 0 || options.cacheTo.length > 0 || options.load === true || options.verify === true)
    throw new BuildError('USAGE', '--no-store goes with no cache, --load or --verify: they need what it does not keep')
  if (options.push !== true && options.output.length === 0)
    throw new BuildError('USAGE', 'Without a store the image needs a place to go', {
      hint: 'Add --push or -o LOCATION.',
    })
  const { fleetingStore } = await import('../store/fleeting-store.ts')
  if (options.lazy !== true) return buildAnew(path, {}, options, fleetingStore(), io)
  // A table has a hundredth of the layer's content, too much to hold for images of many gigabytes.
  const { makeWorkFolder } = await import('../core/work-folder.ts')
  const folder = await makeWorkFolder()
  try {
    return await buildAnew(path, {}, options, fleetingStore(folder.path), io)
  } finally {
    await folder.remove()
  }
}

/** How large the user lets the store become. @throws BuildError USAGE, before anything is made */
async function storeLimit({ env }: Io): Promise<number | undefined> {
  const limit = env['LAYERWRIGHT_CACHE_MAX_SIZE']
  return limit ? (await import('./quantity.ts')).parseBytes(limit) : undefined
}

async function buildAnew(
  project: string,
  { identity, look }: { readonly identity?: BuildIdentity; readonly look?: LookAtState },
  options: BuildOptions,
  store: Store,
  io: Io,
): Promise<BuildSummary> {
  const [{ openWorld }, { build, everythingBelow }, { parsePlatform }, { openSharedLayers }] = await Promise.all([
    import('./world.ts'),
    import('../build.ts'),
    import('../resolve/platform.ts'),
    import('./shared-cache.ts'),
  ])
  const platforms = options.platform.flatMap((list) =>
    list.split(',').map((text) => {
      const { os, architecture } = parsePlatform(text)
      return `${os}/${architecture}` as const
    }),
  )
  const secrets = await readSecrets(options.secret, io)
  const world = await openWorld(io, { insecure: options.insecure, store })
  const shared = await openSharedLayers(options, world, io)
  let outputs: readonly Output[] = []
  const attesting = options.attest === true || options.attestKey !== undefined ? await import('./attest.ts') : undefined
  const attestKey = await attesting?.loadAttestKey(options, io)
  const result = await build(
    {
      project,
      mode: modeOf(options),
      format: options.format,
      compression: options.compression,
      isLazy: options.lazy,
      secrets,
      network: options.network,
      keepsStepCaches: options.stepCaches,
      isVerifying: options.verify,
      memory: identity === undefined ? undefined : basisMemory(identity, store),
      look,
      buildsSources: options.build && options.store,
      ...(platforms.length === 0 ? {} : { platforms }),
    },
    async ({ imageName }) => {
      outputs = outputsOf(imageName, options, store, io.cwd)
      attesting?.assertAttestable(outputs.map(({ location }) => location))
      if (options.lazy === true) assertLazy(outputs, options)
      const opened = outputs.map(async ({ location, compression }) => ({
        destination: await world.open(location),
        compression,
      }))
      return Promise.all(opened)
    },
    { ...world.context, shared, isKeeping: options.store },
  )
  // What is told of the image is the first place's; others of the same compression hold the same.
  const told = outputs.filter(({ compression }) => compression === outputs[0]?.compression)
  const toldAt = told.map(({ location }) => location)
  await attesting?.attest(result, toldAt, attestKey, world, io)
  if (options.load === true) {
    const { loadImage } = await import('./load-image.ts')
    await loadImage(result.image, options.tag[0] ?? result.planned.imageName, world, io)
  }
  if (identity !== undefined)
    await remember(identity, { ...result, outputs, blobs: everythingBelow(result.image) }, store)
  const destinations = outputs.map(({ location }) => formatLocation(location))
  return { digest: result.digest, destinations, platforms: result.platforms }
}

/** Remembers a build whose places can all be looked at again, and that hold one image. */
async function remember(
  identity: BuildIdentity,
  {
    image,
    planned,
    platforms,
    outputs,
    blobs,
  }: BuildResult & Pick<BuildMemory, 'blobs'> & { outputs: readonly Output[] },
  store: Store,
): Promise<void> {
  const places = outputs.flatMap(({ location }) => rememberedPlace(location))
  const isOneImage = new Set(outputs.map(({ compression }) => compression)).size === 1
  const { files, validUntil, projectFolder, state } = planned
  if (files === undefined || !isOneImage || places.length !== outputs.length) return
  const { mediaType, digest, size } = image.descriptor
  await rememberBuild(identity, store, {
    validUntil,
    files,
    project: stateDigest(projectFolder, state),
    root: { mediaType, digest, size },
    blobs,
    places,
    platforms,
  })
}

/** Where the image goes: `-o` places, registries with `--push`, else the local store under its names. */
function outputsOf(imageName: string, options: BuildOptions, store: Store, cwd: string): readonly Output[] {
  const names = options.tag.length > 0 ? options.tag : [imageName]
  // A name that no registry and no engine takes is refused before anything is made.
  const [reference] = names.map(parseReference)
  const name =
    reference && formatFamiliar({ ...reference, tag: referenceTag(reference) ?? 'latest', digest: undefined })
  const isPushed = options.push === true
  const staysHere = !isPushed && (options.tag.length > 0 || options.output.length === 0)
  return [
    ...options.output.map((word) => parseOutput(resolvePath(word, cwd), { ...options, name })),
    ...(isPushed ? names.map((name) => parseOutput(`docker://${name}`, options)) : []),
    ...(staysHere ? names.map((name) => outputAt(localImage(store, name), options)) : []),
  ]
}

function rememberedPlace(location: Location): RememberedPlace[] {
  const name = formatLocation(location)
  if (location.kind === 'oci') return [{ kind: 'oci', name, path: location.path, tag: location.tag ?? null }]
  if (location.kind === 'registry') return [{ kind: 'registry', name, reference: name.slice('docker://'.length) }]
  return []
}

async function headTag(text: string, options: BuildOptions, io: Io): ReturnType<HeadTag> {
  const { Registries } = await import('../../registry/registries.ts')
  const reference = parseReference(text)
  const { env, report, signal } = io
  const registries = new Registries({ env, report, signal, insecure: options.insecure })
  const found = await registries
    .client(reference, { actions: 'pull' })
    .headManifest(reference.digest ?? reference.tag ?? 'latest')
  return found?.digest
}

async function printSummary(summary: BuildSummary, options: BuildOptions, io: Io): Promise<void> {
  const { digest, destinations } = summary
  if (options.iidfile !== undefined || options.metadataFile !== undefined) {
    const { writeNamedFile } = await import('../core/named-file.ts')
    if (options.iidfile !== undefined) await writeNamedFile(resolve(io.cwd, options.iidfile), `${digest}\n`)
    if (options.metadataFile !== undefined) {
      // The names that CI actions read from `docker buildx build --metadata-file`.
      const metadata = { 'containerimage.digest': digest, 'image.name': destinations.join(','), ...summary }
      await writeNamedFile(resolve(io.cwd, options.metadataFile), `${JSON.stringify(metadata, undefined, 2)}\n`)
    }
  }
  io.stdout.write(options.json === true ? `${JSON.stringify(summary)}\n` : `${digest}\n`)
}
