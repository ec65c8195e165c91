import { DIRECT_BYTES, type LayerContext } from '../../layers/context.ts'
import type { Layer } from '../../layers/layer.ts'
import { layerKey, type LayerSpec } from '../../layers/kinds/index.ts'
import { materialiseAll } from '../../layers/materialise.ts'
import type { LayerStore, StoredLayer } from '../../layers/stored-layer.ts'
import type { Cache } from '../core/cache.ts'
import type { Image } from '../image/image.ts'
import { makeImage, type ImageFormat } from '../image/make-image.ts'
import type { LockedImageBase } from '../lock/lock.ts'
import { isPlannedStep, type PlannedLayer, type PlannedStep, type Plan } from '../plan/plan.ts'
import type { SharedLayerStore } from '../remote-cache/shared-layer-store.ts'
import { cudaFlavour } from './cuda-libraries.ts'
import type { StepContext } from './run-step.ts'
import type { SourceBuilding } from './source/planned-sources.ts'

/** What making an image needs of the world. */
export interface ImageContext {
  /** Where layers are found and kept. */
  readonly layerSource: LayerStore
  readonly layers: LayerContext
  readonly steps: StepContext
  /** How packages without a wheel are built. */
  readonly sources: SourceBuilding
  /** The layers of an existing base, as the lock names them. */
  readonly baseLayers: (base: LockedImageBase) => readonly Layer[]
  readonly format: ImageFormat
  /** Layers shared with others. */
  readonly shared?: SharedLayerStore | undefined
  /** Hears of every layer that had to be made, as soon as it is there, and of large ones that are still to be made. */
  readonly onLayer?: ((layer: StoredLayer) => void) | undefined
}

/** Makes the image of a plan: its layers from the store or anew, then manifest and configuration. */
export async function makePlannedImage(plan: Plan, context: ImageContext): Promise<Image> {
  const { base } = plan
  const below = base === undefined ? [] : context.baseLayers(base)
  return makeImage({
    platform: plan.platform,
    layers: [...below, ...(await makeLayers(plan, below, context))],
    runtime: plan.runtime,
    baseHistory: base?.config.history ?? undefined,
    baseLayerCount: below.length,
    annotations: plan.annotations,
    created: plan.created,
    format: context.format,
  })
}

/** Computed layers need nothing of each other and are made together; a command needs everything below it. */
async function makeLayers(plan: Plan, below: readonly Layer[], context: ImageContext): Promise<readonly Layer[]> {
  const computed = plan.layers.filter((layer): layer is PlannedLayer => !isPlannedStep(layer))
  const specs = await withSourcesBuilt(computed, plan, context)
  const { compression, mtimeSeconds } = context.layers
  for (const spec of specs) context.shared?.describe(layerKey(spec, compression, mtimeSeconds), spec)
  const store = telling(context.layerSource, context.onLayer)
  const found = await materialiseAll(specs, context.layers, store)
  await checkGpuCode(plan, specs, store.notes, context)
  await reportMissingLibraries(plan, specs, found, store.notes, context)
  const made = [...found]
  const layers: Layer[] = []
  for (const planned of plan.layers) {
    const next = isPlannedStep(planned) ? await runStep(planned, [...below, ...layers], plan, context) : made.shift()
    if (next === undefined) throw new RangeError('A planned layer was not made')
    layers.push(next)
  }
  return layers
}

// What few builds need is loaded by those.

async function withSourcesBuilt(
  layers: readonly PlannedLayer[],
  plan: Plan,
  context: ImageContext,
): Promise<readonly LayerSpec[]> {
  const specs = layers.map(({ spec }) => spec)
  if (plan.sources === undefined || plan.sources.length === 0) return specs
  const { buildPlannedSources, withBuiltWheels } = await import('./source/planned-sources.ts')
  const built = await buildPlannedSources(plan, context.sources)
  return specs.map((spec) => withBuiltWheels(spec, built))
}

async function runStep(step: PlannedStep, below: readonly Layer[], plan: Plan, context: ImageContext): Promise<Layer> {
  const { stepLayer } = await import('./run-step.ts')
  return stepLayer(step, below, plan, context.steps)
}

async function checkGpuCode(
  { targets = [] }: Plan,
  specs: readonly LayerSpec[],
  notes: Cache,
  context: ImageContext,
): Promise<void> {
  if (targets.length === 0) return
  const { assertGpuCode, gpuCodeOf } = await import('../../layers/gpu-code.ts')
  assertGpuCode(await gpuCodeOf(specs, context.layers, notes), targets)
}

/**
 * Tells of layers when they are saved, and of large ones that are still to be made for whoever lacks them: that takes the
 * longest of all, and need not wait for the others.
 */
function telling(store: LayerStore, onLayer: ImageContext['onLayer']): LayerStore {
  if (onLayer === undefined) return store
  return {
    ...store,
    find: async (key, createdBy) => {
      const layer = await store.find(key)
      if (layer?.isUnmade === true && layer.descriptor.size >= DIRECT_BYTES) onLayer({ ...layer, createdBy })
      return layer
    },
    save: async (key, stream) => {
      const layer = await store.save(key, stream)
      onLayer({ ...layer, createdBy: stream.createdBy })
      return layer
    },
  }
}

/** Said while the image is built, since it is otherwise found out by the first request in production. */
async function reportMissingLibraries(
  plan: Plan,
  specs: readonly LayerSpec[],
  layers: readonly Layer[],
  notes: Cache,
  context: ImageContext,
): Promise<void> {
  const path = plan.runtime.Env?.find((line) => line.startsWith('LD_LIBRARY_PATH='))?.slice('LD_LIBRARY_PATH='.length)
  const libraryPath = (path ?? '').split(':').filter((folder) => folder !== '')
  const flavour = plan.base === undefined ? undefined : cudaFlavour(plan.base.location)
  const isSystemKnown = specs.some(({ kind }) => kind === 'debian-registration')
  if (!isSystemKnown && flavour === undefined) return
  const { describeMissingLibraries, findMissingLibraries } = await import('./check-libraries.ts')
  const missing = await findMissingLibraries({ specs, layers, context: context.layers, notes, libraryPath, flavour })
  for (const text of describeMissingLibraries(missing)) {
    context.layers.report({ type: 'note', level: 'warning', text, code: 'LIBRARY_MISSING' })
  }
}
