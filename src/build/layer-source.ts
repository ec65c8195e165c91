import type { Digest } from 'oci-spec-types'
import type { LayerContext } from '../../layers/context.ts'
import { layerKey, makeLayerStream, type LayerSpec } from '../../layers/kinds/index.ts'
import { layerStore } from '../../layers/layer-store.ts'
import type { LayerStore } from '../../layers/stored-layer.ts'
import { sendingStore, sentLayerStore, type Send } from '../../layers/sent-layers.ts'
import { keptWheels, splicedLayerStore, type SplicedLayers } from '../../layers/spliced-layers.ts'
import { isPlannedStep } from '../plan/plan.ts'
import type { SharedLayerStore } from '../remote-cache/shared-layer-store.ts'
import type { Store } from '../store/store.ts'
import type { BuildContext } from './context.ts'
import type { PlannedBuild } from './planned-build.ts'
import { lockedRecords, withLockedLayers } from './locked-layers.ts'

/** What decides where layers come from. */
export interface LayerSourceOptions {
  readonly layers: LayerContext
  readonly isVerifying?: boolean | undefined
  /** Takes the bytes of layers while they are made. */
  readonly send?: readonly Send[] | undefined
  /** Whether all destinations have a blob. */
  readonly isThere?: ((digest: Digest) => Promise<boolean>) | undefined
}

/** Where the layers of a planned build are found and kept. */
export function makeLayerSource(
  planned: PlannedBuild,
  { store, shared, isKeeping }: BuildContext,
  { layers, isVerifying, send = [], isThere }: LayerSourceOptions,
): LayerStore {
  if (isKeeping === false) {
    const sent = sentLayers(planned, layers, send, store)
    // What the lock knows is fetched when a destination asks for it: for several it is better made once, and sent to all.
    return send.length > 1 ? sent : withLockedLayers(sent, planned, { store, layers, isVerifying, isKeeping, isThere })
  }
  if (shared?.isGiving === true) return isVerifying === true ? shared : withGivenLayers(shared, planned, layers)
  // Caches are given layers from the store.
  const stored = sendingStore(shared ?? splicedLayers(planned, layers, store), send)
  return withLockedLayers(stored, planned, { store, layers, isVerifying, isThere })
}

/** The local store, without layers that can be spliced from the small wheels that it keeps. */
function splicedLayers(planned: PlannedBuild, layers: LayerContext, store: Store): LayerStore {
  const stored = layerStore(store)
  if ((layers.compression ?? 'gzip') !== 'gzip') return stored
  const specs = specsByKey(planned, layers)
  const spliced: SplicedLayers = {
    wheelsOf: (key) => keptWheels(specs.get(key)),
    make: async (key) => {
      const spec = specs.get(key)
      if (spec === undefined) throw new RangeError(`No layer of the plan has the key ${key}`)
      return makeLayerStream(spec, { ...layers, isKnown: true })
    },
  }
  return splicedLayerStore(stored, spliced, store)
}

function specsByKey({ plans }: PlannedBuild, layers: LayerContext): ReadonlyMap<string, LayerSpec> {
  const specs = plans.flatMap((plan) => plan.layers.flatMap((layer) => (isPlannedStep(layer) ? [] : [layer.spec])))
  return new Map(specs.map((spec) => [layerKey(spec, layers.compression, layers.mtimeSeconds), spec]))
}

/** Caches are given only what was made and checked; so of what a lock knows, that alone is not made which they have. */
function withGivenLayers(shared: SharedLayerStore, planned: PlannedBuild, layers: LayerContext): LayerStore {
  const recordOf = lockedRecords(planned, layers)
  return {
    ...shared,
    find: async (key) => {
      const record = recordOf(key)
      return (await shared.find(key)) ?? (record === undefined ? undefined : shared.findGiven(key, record))
    },
  }
}

/** Layers of a build that keeps nothing: sent on while they are made, and made again where that did not do. */
function sentLayers(planned: PlannedBuild, layers: LayerContext, send: readonly Send[], store: Store): LayerStore {
  const byKey = specsByKey(planned, layers)
  return sentLayerStore({
    send,
    notes: store.cache('layer-notes'),
    alone: (key, work, signal) => store.alone(key, work, { signal }),
    remake: async (key) => {
      const spec = byKey.get(key)
      if (spec === undefined) throw new RangeError(`No layer of the plan has the key ${key}`)
      // Its table is kept already, or made of all that has none at the end.
      return makeLayerStream(spec, { ...layers, isKnown: spec.kind === 'wheels', keepZtoc: undefined })
    },
  })
}
