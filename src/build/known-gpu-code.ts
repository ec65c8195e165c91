import { assertGpuCode, gpuCodeOf, type GpuCodeOfPackage } from '../../layers/gpu-code.ts'
import { layerStore } from '../../layers/layer-store.ts'
import { isPlannedStep, type Plan } from '../plan/plan.ts'
import type { BuildContext } from './context.ts'
import { sourceDate } from '../core/source-date.ts'

/**
 * The GPUs that the packages of each plan have code for, as far as they were laid here before; one list for each plan.
 *
 * @throws BuildError ENVIRONMENT_CONFLICT when a package has none for a GPU that the project states
 */
export async function knownGpuCode(
  plans: readonly Plan[],
  { store, env }: Pick<BuildContext, 'store' | 'env'>,
): Promise<readonly (readonly GpuCodeOfPackage[])[]> {
  const { notes } = layerStore(store)
  const context = { mtimeSeconds: sourceDate(env) }
  return Promise.all(
    plans.map(async ({ layers, targets = [] }) => {
      const specs = layers.flatMap((layer) => (isPlannedStep(layer) ? [] : [layer.spec]))
      const found = await gpuCodeOf(specs, context, notes)
      assertGpuCode(found, targets)
      return found
    }),
  )
}
