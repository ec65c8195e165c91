import { layerStore } from '../../layers/layer-store.ts'
import { layerKey } from '../../layers/kinds/index.ts'
import type { WeightSetLayerSpec } from '../../layers/kinds/weight-set.ts'
import { materialiseAll } from '../../layers/materialise.ts'
import { BuildError } from '../core/errors.ts'
import { nearest } from '../core/suggest.ts'
import type { LockedWeightFile, LockedWeights } from '../lock/lock.ts'
import { isPlannedStep } from '../plan/plan.ts'
import { partialBytes } from '../store/partial.ts'
import type { BuildContext } from './context.ts'
import type { PlannedBuild } from './planned-build.ts'
import { makeLayerContext } from './layer-context.ts'

/** A set of weights, and how much of it is on this machine. */
export interface WeightsStatus extends LockedWeights {
  /** `ready`: every layer is made; `partial`: some bytes are here; `absent`: none is. */
  readonly state: 'ready' | 'partial' | 'absent'
  readonly sizeBytes: number
  readonly hereBytes: number
}

/**
 * The entries of a plan's weights that names choose; all without names.
 *
 * @throws BuildError USAGE for a name that is none of them
 */
export function chooseWeights({ lock }: PlannedBuild, names: readonly string[]): readonly LockedWeights[] {
  const weights = lock.weights ?? []
  const known = weights.map(({ name }) => name)
  for (const name of names) {
    if (known.includes(name)) continue
    const near = nearest(name, known)
    throw new BuildError('USAGE', `cog.yaml has no weights of this name: \`${name}\``, {
      hint: near === undefined ? undefined : `Did you mean \`${near}\`?`,
    })
  }
  return names.length === 0 ? weights : weights.filter(({ name }) => names.includes(name))
}

/** Makes the layers of weights, so that a build finds them: fetches what is not here. */
export async function makeWeights(
  planned: PlannedBuild,
  weights: readonly LockedWeights[],
  context: BuildContext,
): Promise<void> {
  const specs = weightSpecs(planned).filter((spec) => spec.files.some((file) => belongs(file.path, weights)))
  const layers = makeLayerContext(planned, context)
  await materialiseAll(specs, layers, context.shared ?? layerStore(context.store))
}

/** Looks how much of the weights is here; asks nobody. */
export async function statusOf(
  planned: PlannedBuild,
  weights: readonly LockedWeights[],
  context: BuildContext,
): Promise<readonly WeightsStatus[]> {
  const { store } = context
  const layers = layerStore(store)
  const { mtimeSeconds, compression } = makeLayerContext(planned, context)
  const made = new Set<string>()
  for (const spec of weightSpecs(planned)) {
    if ((await layers.find(layerKey(spec, compression, mtimeSeconds))) === undefined) continue
    for (const { path } of spec.files) made.add(path)
  }
  const here = async (file: LockedWeightFile, target: string): Promise<number> => {
    if (made.has(`${target}/${file.path}`.slice(1))) return file.sizeBytes
    const digest = `sha256:${file.sha256}` as const
    return (await store.has(digest)) ?? (await partialBytes(store, digest))
  }
  return Promise.all(
    weights.map(async (set) => {
      const bytes = await Promise.all(set.files.map((file) => here(file, set.target)))
      const hereBytes = bytes.reduce((sum, count) => sum + count, 0)
      const isReady = set.files.every(({ path }) => made.has(`${set.target}/${path}`.slice(1)))
      const sizeBytes = set.files.reduce((sum, file) => sum + file.sizeBytes, 0)
      return { ...set, sizeBytes, hereBytes, state: isReady ? 'ready' : hereBytes > 0 ? 'partial' : 'absent' }
    }),
  )
}

/** Weights are the same for every platform. */
function weightSpecs({ plans }: PlannedBuild): readonly WeightSetLayerSpec[] {
  return (plans[0]?.layers ?? []).flatMap((layer) =>
    !isPlannedStep(layer) && layer.spec.kind === 'weight-set' ? [layer.spec] : [],
  )
}

function belongs(path: string, weights: readonly LockedWeights[]): boolean {
  return weights.some(({ target }) => `/${path}`.startsWith(`${target}/`))
}
