import type { LayerContext } from '../../layers/context.ts'
import { assertGpuCode, gpuCodeOf } from '../../layers/gpu-code.ts'
import type { Layer } from '../../layers/layer.ts'
import { layerKey, type LayerSpec } from '../../layers/kinds/index.ts'
import { materialiseAll, type LayerStore, type StoredLayer } from '../../layers/materialise.ts'
import type { Cache } from '../core/cache.ts'
import type { Image } from '../image/image.ts'
import { makeImage, type ImageFormat } from '../image/make-image.ts'
import type { LockedImageBase } from '../lock/lock.ts'
import { isPlannedStep, type PlannedLayer, type Plan } from '../plan/plan.ts'
import type { SharedLayerStore } from '../remote-cache/shared-layer-store.ts'
import { cudaFlavour } from './cuda-libraries.ts'
import { describeMissingLibrary, findMissingLibraries } from './check-libraries.ts'
import { stepLayer, type StepContext } from './run-step.ts'
import { buildPlannedSources, withBuiltWheels, type SourceBuilding } from './source/planned-sources.ts'

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
  /** Hears of every layer that had to be made, as soon as it is there. */
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
  const built = await buildPlannedSources(plan, context.sources)
  const specs = computed.map(({ spec }) => withBuiltWheels(spec, built))
  const { compression, mtimeSeconds } = context.layers
  for (const spec of specs) context.shared?.describe(layerKey(spec, compression, mtimeSeconds), spec)
  const store = telling(context.layerSource, context.onLayer)
  const found = await materialiseAll(specs, context.layers, store)
  assertGpuCode(await gpuCodeOf(specs, context.layers, store.notes), plan.targets ?? [])
  await reportMissingLibraries(plan, specs, found, store.notes, context)
  const made = [...found]
  const layers: Layer[] = []
  for (const planned of plan.layers) {
    const next = isPlannedStep(planned)
      ? await stepLayer(planned, [...below, ...layers], plan, context.steps)
      : made.shift()
    if (next === undefined) throw new RangeError('A planned layer was not made')
    layers.push(next)
  }
  return layers
}

/** Tells of layers when they are saved. */
function telling(store: LayerStore, onLayer: ImageContext['onLayer']): LayerStore {
  if (onLayer === undefined) return store
  return {
    ...store,
    save: async (key, stream) => {
      const layer = await store.save(key, stream)
      onLayer(layer)
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
  const missing = await findMissingLibraries({ specs, layers, context: context.layers, notes, libraryPath, flavour })
  for (const library of missing) {
    const text = describeMissingLibrary(library)
    context.layers.report({ type: 'note', level: 'warning', text, code: 'LIBRARY_MISSING' })
  }
}
