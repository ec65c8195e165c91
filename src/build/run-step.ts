import { compressorName, type Compression } from '../../layers/compress.ts'
import { layerOfEntries } from '../../layers/files.ts'
import { layerStore } from '../../layers/layer-store.ts'
import type { Layer } from '../../layers/layer.ts'
import type { LayerStore, StoredLayer } from '../../layers/stored-layer.ts'
import { digestOf } from '../core/digest.ts'
import { canonicalJson } from '../core/json.ts'
import { maskAddresses } from '../core/mask.ts'
import { startTask, type Report } from '../core/progress.ts'
import type { Plan, PlannedStep } from '../plan/plan.ts'
import { runStep } from '../run/step.ts'
import type { Store } from '../store/store.ts'
import type { Secret } from './secrets.ts'
import { mountKeys, withMounts } from './step-mounts.ts'

/** What running a step needs of the world. */
export interface StepContext {
  readonly store: Store
  /** Layers shared with others; those of the store alone unless given. */
  readonly shared?: LayerStore | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  readonly report: Report
  /** Secrets by id. */
  readonly secrets: ReadonlyMap<string, Secret>
  readonly network: 'host' | 'none'
  /** Whether caches of commands are kept from build to build. */
  readonly keepsCaches: boolean
  readonly epochSeconds: number
  /** `gzip` unless given. */
  readonly compression?: Compression | undefined
  readonly signal?: AbortSignal | undefined
}

/** Part of a step's key: a change of how changes are captured makes all steps new. */
const STEP_VERSION = 2

/**
 * The layer of a command: what it changed, kept by command, settings and the layers below it.
 *
 * A secret's value is no part of the key, as everywhere, nor is what a cache holds: neither should decide what is built.
 *
 * @throws BuildError RUN_FAILED when the command fails; HOST_UNSUPPORTED where nothing can run it
 */
export async function stepLayer(
  step: PlannedStep,
  lower: readonly Layer[],
  plan: Plan,
  context: StepContext,
): Promise<Layer> {
  const store = context.shared ?? layerStore(context.store)
  const { compression = 'gzip' } = context
  const key = digestOf(
    canonicalJson({
      version: STEP_VERSION,
      command: step.command,
      mounts: mountKeys(step.mounts),
      env: plan.runtime.Env ?? [],
      network: context.network,
      epochSeconds: context.epochSeconds,
      lower: lower.map(({ diffId }) => diffId),
      compression: compressorName(compression),
    }),
  )
  const createdBy = step.role === 'run' ? `run: ${maskAddresses(step.command)}` : step.title
  const found = await store.find(key)
  if (found !== undefined) {
    startTask(context.report, createdBy).end('cached')
    return { ...found, createdBy }
  }
  const task = startTask(context.report, createdBy)
  try {
    const { os, architecture } = plan.platform
    const stored = await withMounts(step, { ...context, platform: `${os}/${architecture}` }, ({ binds, mask }) =>
      runStep<StoredLayer>(
        {
          layers: lower,
          platform: plan.platform,
          config: { ...plan.runtime, WorkingDir: '/' },
          command: step.command,
          binds,
          mask,
          network: context.network,
          epochSeconds: context.epochSeconds,
          output: (text) => context.report({ type: 'output', id: task.id, text }),
          signal: context.signal,
        },
        { storeFolder: context.store.folder, env: context.env, report: context.report },
        (entries) => store.save(key, layerOfEntries(entries, { compression })),
      ),
    )
    task.end()
    return { ...stored, createdBy }
  } catch (error) {
    task.end('failed', error instanceof Error ? error.message : String(error))
    throw error
  }
}
