import type { Descriptor, Digest } from 'oci-spec-types'
import type { Layer } from '../layers/layer.ts'
import { makeOpenRemote } from '../layers/remote.ts'
import { readProject } from '../layers/project.ts'
import { obtainLock, type LockOptions } from './build/obtain-lock.ts'
import { makePlannedImage } from './build/images.ts'
import { readRevision } from './build/revision.ts'
import { runtimeTree } from './build/runtime-tree.ts'
import { defaultImageName } from './config/image-name.ts'
import type { Config } from './config/config.ts'
import { loadConfig } from './config/load.ts'
import type { Http } from './core/http.ts'
import { nested, runTask, type Report, type Task } from './core/progress.ts'
import { settleAll } from './core/settle.ts'
import { programVersion } from './core/version.ts'
import { copyImage, type CopyResult } from './destinations/copy.ts'
import type { Destination } from './destinations/destination.ts'
import { isImageIndex, type Image, type ImageIndex } from './image/image.ts'
import { makeIndex, type ImageFormat } from './image/make-image.ts'
import { debianBaseLayers, systemPackageLayers } from './plan/debian-layers.ts'
import { makePlan } from './plan/make-plan.ts'
import type { Plan } from './plan/plan.ts'
import { describeModel } from './predictor/describe.ts'
import type { SharedLayerStore } from './remote-cache/shared-layer-store.ts'
import type { HeadersFor } from './python/settings/credentials.ts'
import type { OpenedBase, ResolveContext } from './resolve/context.ts'
import type { Lock, LockedImageBase, LockedPlatform } from './lock/lock.ts'
import type { Store } from './store/store.ts'

/** What a build needs of the world. */
export interface BuildContext {
  readonly store: Store
  readonly http: Http
  readonly env: Readonly<Record<string, string | undefined>>
  readonly report: Report
  readonly now: () => number
  readonly signal?: AbortSignal | undefined
  /** Another lock of the launcher's packages than the shipped one. */
  readonly launcherLock?: string | undefined
  /** Layers shared with others, through registries. */
  readonly shared?: SharedLayerStore | undefined
  /** Opens an existing image for one platform. */
  readonly openBase: (location: string, platform: LockedPlatform) => Promise<OpenedBase>
  /** The layers of a base as a lock names them; asks nobody until one is read. */
  readonly baseLayers: (base: LockedImageBase) => readonly Layer[]
}

/** What is to be built. */
export interface BuildRequest extends LockOptions {
  /** Folder of the project, or its cog.yaml. */
  readonly project: string
  /** Platforms in place of the configuration's. */
  readonly platforms?: readonly ('linux/amd64' | 'linux/arm64')[] | undefined
  readonly format: ImageFormat
  /** Files of build secrets by id. */
  readonly secrets?: ReadonlyMap<string, string> | undefined
  /** What `run` steps may reach; `host` unless given. */
  readonly network?: 'host' | 'none' | undefined
}

/** A project, loaded, with its answers and plans: everything that is known before bytes move. */
export interface PlannedBuild {
  readonly config: Config
  readonly projectFolder: string
  /** `image:`, else `cog-<folder>`. */
  readonly imageName: string
  /** What the plans were made from. */
  readonly lock: Lock
  /** One for each platform. */
  readonly plans: readonly Plan[]
  /** Until when the answers can be relied on, in milliseconds since the epoch. */
  readonly validUntil: number
  /** Absolute paths of the files that decided the plans beside the project's own; the configuration first. */
  readonly files: readonly string[]
  /** Credentials for what is fetched. */
  readonly headers: HeadersFor
}

/** Loads a project and plans its images. */
export async function planBuild(request: BuildRequest, context: BuildContext): Promise<PlannedBuild> {
  const loaded = await loadConfig(request.project)
  const config: Config =
    request.platforms === undefined
      ? loaded.config
      : { ...loaded.config, build: { ...loaded.config.build, platforms: request.platforms } }
  const { projectFolder } = loaded
  const resolveContext: ResolveContext = { ...context, cache: (space) => context.store.cache(space), projectFolder }
  const [{ lock, validUntil, files, headers }, model, project, tree, revision] = await settleAll([
    obtainLock(config, resolveContext, request),
    describeModel({ projectFolder, run: config.run, train: config.train, maxConcurrency: config.concurrency?.max }),
    readProject(projectFolder, { hashes: context.store.cache('hashes'), signal: context.signal }),
    runtimeTree(),
    readRevision(projectFolder, context.env),
  ])
  for (const { message, file, line } of [...loaded.warnings, ...model.warnings]) {
    context.report({ type: 'note', level: 'warning', text: `${file}:${line}: ${message}` })
  }
  for (const path of project.suspects) {
    const text = `\`${path}\` looks like a secret and will be in the image; add it to .dockerignore`
    context.report({ type: 'note', level: 'warning', text, code: 'SECRET_FILE' })
  }
  const plans = lock.platforms.map((platformLock) =>
    makePlan({
      config,
      lock: platformLock,
      project,
      baseLayers:
        platformLock.base.kind === 'debian'
          ? debianBaseLayers(platformLock.base.packages, config.build.systemPackages)
          : [],
      systemLayers: platformLock.systemPackages === undefined ? [] : systemPackageLayers(platformLock.systemPackages),
      runtimeTree: tree,
      openapi: JSON.stringify(model.openapi),
      revision,
      version: programVersion(),
      createdSeconds: sourceDate(context.env) ?? 0,
    }),
  )
  for (const text of new Set(plans.flatMap(({ notes }) => notes))) {
    context.report({ type: 'note', level: 'info', text })
  }
  return {
    config,
    projectFolder,
    imageName: config.image ?? defaultImageName(projectFolder),
    lock,
    plans,
    validUntil,
    files: [loaded.file, ...files],
    headers,
  }
}

/** Makes the images of a planned build: one image, or an index of one for each platform. */
export async function makeImages(
  planned: PlannedBuild,
  { format, secrets = new Map(), network = 'host' }: BuildRequest,
  context: BuildContext,
): Promise<Image | ImageIndex> {
  const { store, http, report, signal, env, shared } = context
  const steps = { store, shared, env, report, secrets, network, epochSeconds: sourceDate(env) ?? 0, signal }
  const layers = {
    // Downloads are part of the layers that ask for them.
    openRemote: makeOpenRemote({ http, store, headers: planned.headers, report: nested(report, 'downloads'), signal }),
    projectFolder: planned.projectFolder,
    report,
    signal,
    mtimeSeconds: sourceDate(context.env),
  }
  const images: { readonly platform: LockedPlatform; readonly image: Image }[] = []
  for (const plan of planned.plans) {
    images.push({
      platform: plan.platform,
      image: await makePlannedImage(plan, { store, layers, steps, baseLayers: context.baseLayers, format, shared }),
    })
  }
  const [only] = images
  return images.length === 1 && only !== undefined
    ? only.image
    : makeIndex(images, planned.plans[0]?.annotations ?? {}, format)
}

/** What a build left. */
export interface BuildResult {
  /** Of the manifest or index. */
  readonly digest: Digest
  readonly planned: PlannedBuild
  readonly image: Image | ImageIndex
  /** In the order of the index. */
  readonly platforms: readonly { readonly platform: string; readonly digest: Digest }[]
  /** In the order of the destinations. */
  readonly copies: readonly CopyResult[]
}

/** From a project to images at all destinations. */
export async function build(
  request: BuildRequest,
  destinations: (planned: PlannedBuild) => Promise<readonly Destination[]>,
  context: BuildContext,
): Promise<BuildResult> {
  const planned = await planBuild(request, context)
  const sinks = await destinations(planned)
  const image = await makeImages(planned, request, context)
  await context.shared?.publish()
  const copies: CopyResult[] = []
  for (const sink of sinks) {
    const { report, signal } = context
    const copy = (task: Task): Promise<CopyResult> =>
      copyImage(image, sink, { report: nested(report, task.id), signal })
    copies.push(await runTask(report, `write ${sink.name}`, copy))
  }
  const platforms = imagesOf(image).map(({ config, descriptor }) => ({
    platform: `${config.os}/${config.architecture}`,
    digest: descriptor.digest,
  }))
  return { digest: image.descriptor.digest, planned, image, platforms, copies }
}

/** Everything that a root names, manifests and configurations included; each digest once. */
export function everythingBelow(root: Image | ImageIndex): readonly Pick<Descriptor, 'digest' | 'size'>[] {
  const descriptors = imagesOf(root).flatMap(({ descriptor, manifest }) => [
    ...(isImageIndex(root) ? [descriptor] : []),
    manifest.config,
    ...manifest.layers,
  ])
  return [...new Map(descriptors.map(({ digest, size }) => [digest, { digest, size }])).values()]
}

function imagesOf(image: Image | ImageIndex): readonly Image[] {
  return isImageIndex(image) ? image.images.map((member) => member.image) : [image]
}

/** @see https://reproducible-builds.org/specs/source-date-epoch/ */
function sourceDate(env: BuildContext['env']): number | undefined {
  const text = env['SOURCE_DATE_EPOCH']
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined
}
