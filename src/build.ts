import { join } from 'node:path'
import type { Descriptor, Digest } from 'oci-spec-types'
import type { Compression } from '../layers/compress.ts'
import type { StoredLayer } from '../layers/stored-layer.ts'
import type { Send } from '../layers/sent-layers.ts'
import { makeLayerSource } from './build/layer-source.ts'
import type { BuildContext, BuildRequest } from './build/context.ts'
import { planBuild } from './build/plan-build.ts'
import type { PlannedBuild } from './build/planned-build.ts'
import { sourceContext } from './build/source-context.ts'
import { makePlannedImage } from './build/images.ts'
import { makeLayerContext } from './build/layer-context.ts'
import { basesOf } from './build/locked-base.ts'
import { sourceDate } from './core/source-date.ts'
import { tellUnusedSecrets } from './build/unused-secrets.ts'
import type { LazyImage } from './build/lazy-image.ts'
import { BuildError } from './core/errors.ts'
import { nested, startTask } from './core/progress.ts'
import { settleAll } from './core/settle.ts'
import { contentOf, type BlobHome } from './destinations/content.ts'
import { startDelivery, type CopyResult } from './destinations/copy.ts'
import type { Destination } from './destinations/destination.ts'
import { isImageIndex, type Image, type ImageIndex } from './image/image.ts'
import { makeIndex } from './image/make-image.ts'
import { isPlannedStep } from './plan/plan.ts'
import { LOCK_FILE, type LockedPlatform } from './lock/lock.ts'

export { planBuild } from './build/plan-build.ts'
export type { BuildContext, BuildRequest } from './build/context.ts'
export type { PlannedBuild } from './build/planned-build.ts'

/** Takes layers as they are made. */
export interface LayerListener {
  /** Hears of every layer that had to be made, as soon as it is there, and of large ones that are still to be made. */
  readonly onLayer?: ((layer: StoredLayer) => void) | undefined
  /** Takes the bytes of layers while they are made. */
  readonly send?: readonly Send[] | undefined
  /** Whether all who take layers have one already. */
  readonly isThere?: ((digest: Digest) => Promise<boolean>) | undefined
}

/**
 * Makes the images of a planned build: one image, or an index of one for each platform.
 *
 * @param listener takes what is made while more is made
 */
async function makeImages(
  planned: PlannedBuild,
  request: BuildRequest,
  context: BuildContext,
  { onLayer, send, isThere }: LayerListener = {},
): Promise<Image | ImageIndex> {
  const {
    format,
    secrets = new Map(),
    network = 'host',
    keepsStepCaches = true,
    mode,
    buildsSources = true,
    isVerifying,
    compression,
  } = request
  const { store, report, signal, env, shared } = context
  const epochSeconds = sourceDate(env) ?? 0
  const steps = {
    store,
    shared,
    env,
    report,
    secrets,
    network,
    keepsCaches: keepsStepCaches,
    epochSeconds,
    signal,
    compression,
  }
  const layers = { ...makeLayerContext(planned, context, request.isLazy), compression }
  const layerSource = makeLayerSource(planned, context, { layers, isVerifying, send, isThere })
  const images: { readonly platform: LockedPlatform; readonly image: Image }[] = []
  for (const [index, plan] of planned.plans.entries()) {
    const sources = {
      lock: planned.lock.platforms[index],
      systemPackages: planned.config.build.systemPackages,
      settings: mode === 'locked' ? undefined : planned.settings,
      isAllowed: buildsSources,
      context: { ...sourceContext(planned.projectFolder, network, context), headers: planned.headers },
    }
    const { baseLayers } = context
    images.push({
      platform: plan.platform,
      image: await makePlannedImage(plan, { layerSource, layers, steps, sources, baseLayers, format, shared, onLayer }),
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

/** A place for an image, and how its layers are compressed there. */
export interface BuildOutput {
  readonly destination: Destination
  /** As the request says unless given. */
  readonly compression?: Compression | undefined
}

/** From a project to images at all destinations. */
export async function build(
  request: BuildRequest,
  outputsOf: (planned: PlannedBuild) => Promise<readonly BuildOutput[]>,
  given: BuildContext,
): Promise<BuildResult> {
  const planned = await planBuild(request, given)
  const context = { ...given, ...basesOf(given, planned.projectFolder) }
  tellUnusedSecrets(request.secrets?.keys() ?? [], planned.plans, context.report)
  if (context.isKeeping === false) assertStoreless(planned)
  const outputs = await outputsOf(planned)
  const compressionOf = (output: BuildOutput): Compression => output.compression ?? request.compression ?? 'gzip'
  // One image for each compression; the first is the one that is told of.
  const groups = outputs.length === 0 ? [request.compression ?? 'gzip'] : new Set(outputs.map(compressionOf))
  const copies = new Map<BuildOutput, CopyResult>()
  let image: Image | ImageIndex | undefined
  for (const compression of groups) {
    const members = outputs.filter((output) => compressionOf(output) === compression)
    const sinks = members.map(({ destination }) => destination)
    const delivered = await makeAndDeliver(planned, sinks, { ...request, compression }, context)
    image ??= delivered.image
    for (const [n, member] of members.entries()) {
      const copy = delivered.copies[n]
      if (copy !== undefined) copies.set(member, copy)
    }
  }
  if (image === undefined) throw new TypeError('A build made no image')
  const completed = planned.isLockFile && request.mode !== 'locked' ? await completeLockFile(planned, context) : planned
  const platforms = imagesOf(image).map(({ config, descriptor }) => ({
    platform: `${config.os}/${config.architecture}`,
    digest: descriptor.digest,
  }))
  return {
    digest: image.descriptor.digest,
    planned: completed,
    image,
    platforms,
    copies: outputs.flatMap((output) => copies.get(output) ?? []),
  }
}

/** @throws BuildError NOT_SUPPORTED for what works on files, which a build without a store has not */
function assertStoreless({ plans, config }: PlannedBuild): void {
  const needy = [
    ...(plans.some(({ layers }) => layers.some(isPlannedStep)) ? ['`run` steps'] : []),
    ...(config.weights.length > 0 ? ['`weights`'] : []),
  ]
  if (needy.length === 0) return
  throw new BuildError('NOT_SUPPORTED', `A project with ${needy.join(' and ')} cannot be built without a store`, {
    hint: 'Build without --no-store.',
  })
}

/** Adds to the lock file what its layers have become, so that the next build from it need not make them to know. */
async function completeLockFile(planned: PlannedBuild, { store, report }: BuildContext): Promise<PlannedBuild> {
  const { lock, projectFolder, files } = planned
  const [{ recordLayers }, { writeLockFile }] = await Promise.all([
    import('./build/locked-layers.ts'),
    import('./build/obtain-lock.ts'),
  ])
  const completed = await recordLayers(planned, store)
  if (completed === lock) return planned
  const digest = await writeLockFile(projectFolder, completed)
  report({ type: 'note', level: 'info', text: `${LOCK_FILE} now says what its layers become; commit it` })
  return { ...planned, files: files && { ...files, [join(projectFolder, LOCK_FILE)]: digest } }
}

/** Makes the images and brings each layer to the destinations while the next is made. */
async function makeAndDeliver(
  planned: PlannedBuild,
  sinks: readonly Destination[],
  request: BuildRequest,
  context: BuildContext,
): Promise<Pick<BuildResult, 'image' | 'copies'>> {
  const { shared, report, isKeeping } = context
  const failed = new AbortController()
  const signal = context.signal === undefined ? failed.signal : AbortSignal.any([context.signal, failed.signal])
  const deliveries = sinks.map((sink) => {
    const task = startTask(report, `write ${sink.name}`)
    // A destination that refuses the first layer will refuse the image: the others need not be made.
    const onFailure = (error: unknown): void => failed.abort(error)
    const homes = homesOfBases(planned, context)
    const options = { report: nested(report, task.id), signal: context.signal, homes, onFailure }
    return { task, delivery: startDelivery(sink, options) }
  })
  const offered: Promise<void>[] = []
  const offer = (layer: StoredLayer): void => {
    const { descriptor, open, source, createdBy } = layer
    const pass = (): void => {
      for (const { delivery } of deliveries) delivery.offer({ descriptor, open, home: source, name: createdBy })
    }
    // A layer that goes to a cache first is mounted from there.
    if (shared?.isGiving !== true) return pass()
    const passed = shared.given(layer).then(pass)
    // Heard of where all are waited for.
    passed.catch(() => {})
    offered.push(passed)
  }
  const copies: CopyResult[] = []
  try {
    const isThere = async (digest: Digest): Promise<boolean> => {
      const answers = await settleAll(deliveries.map(({ delivery }) => delivery.has(digest)))
      return answers.length > 0 && !answers.includes(false)
    }
    const listener = {
      onLayer: offer,
      isThere,
      send: deliveries.map(
        ({ delivery }): Send =>
          (blob) =>
            isKeeping === false ? delivery.stream(blob) : delivery.streamIfNew(blob),
      ),
    }
    const made = await makeImages(planned, request, { ...context, signal }, listener)
    await shared?.publish()
    await Promise.all(offered)
    const { image, artifacts } = await indexed(made, planned, request, { ...context, signal })
    const whole = contentOf(image)
    const content = { ...whole, children: [...whole.children, ...artifacts] }
    for (const { task, delivery } of deliveries) {
      copies.push(await delivery.finish(content))
      task.end()
    }
    return { image, copies }
  } catch (error) {
    await shared?.abandon()
    await Promise.allSettled(offered)
    const open = deliveries.slice(copies.length)
    await Promise.all(open.map(({ delivery }) => delivery.abort(error)))
    for (const { task } of open) task.end('failed', error instanceof Error ? error.message : String(error))
    throw error
  }
}

async function indexed(
  made: Image | ImageIndex,
  { plans }: PlannedBuild,
  { isLazy = false }: BuildRequest,
  { store, report, signal, baseLayers }: BuildContext,
): Promise<LazyImage> {
  if (!isLazy) return { image: made, artifacts: [] }
  const { makeLazyImage } = await import('./build/lazy-image.ts')
  const passed = plans.flatMap(({ base }) => (base === undefined ? [] : baseLayers(base)))
  const digests = new Set(passed.map(({ descriptor }) => descriptor.digest))
  return makeLazyImage(made, { store, report, passed: digests, signal })
}

function homesOfBases({ plans }: PlannedBuild, { baseLayers }: BuildContext): readonly BlobHome[] {
  const layers = plans.flatMap(({ base }) => (base === undefined ? [] : baseLayers(base)))
  return layers.flatMap(({ source }) => (source === undefined ? [] : [source]))
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
