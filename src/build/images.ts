import { layerStore } from '../../layers/layer-store.ts'
import { materialiseAll } from '../../layers/materialise.ts'
import type { LayerContext } from '../../layers/context.ts'
import type { Layer } from '../../layers/layer.ts'
import type { Image } from '../image/image.ts'
import { makeImage, type ImageFormat } from '../image/make-image.ts'
import { isPlannedStep, type PlannedLayer, type Plan } from '../plan/plan.ts'
import type { OpenedBase } from '../resolve/context.ts'
import type { Store } from '../store/store.ts'
import { BuildError } from '../core/errors.ts'

/** What making an image needs of the world. */
export interface ImageContext {
  readonly store: Store
  readonly layers: LayerContext
  /** Opens the plan's base by its locked digest. */
  readonly openBase: (plan: Plan) => Promise<OpenedBase>
  readonly format: ImageFormat
}

/** Makes the image of a plan: its layers from the store or anew, then manifest and configuration. */
export async function makePlannedImage(plan: Plan, context: ImageContext): Promise<Image> {
  const base: OpenedBase | undefined = plan.base === undefined ? undefined : await context.openBase(plan)
  const planned = plan.layers.filter((layer): layer is PlannedLayer => !isPlannedStep(layer))
  if (planned.length !== plan.layers.length) {
    throw new BuildError('NOT_SUPPORTED', '`build.run` is not supported yet')
  }
  const made = await materialiseAll(
    planned.map(({ spec }) => spec),
    context.layers,
    layerStore(context.store),
  )
  const layers: readonly Layer[] = [...(base?.layers ?? []), ...made]
  return makeImage({
    platform: plan.platform,
    layers,
    runtime: plan.runtime,
    baseHistory: base?.config.history ?? undefined,
    baseLayerCount: base?.layers.length ?? 0,
    annotations: plan.annotations,
    created: plan.created,
    format: context.format,
  })
}
