import type { Digest } from 'oci-spec-types'
import type { LayerContext } from '../../layers/context.ts'
import { loadRanges } from '../../layers/file-ranges.ts'
import { layerKey, makeLayerStream, type LayerSpec } from '../../layers/kinds/index.ts'
import { knownLayerStore } from '../../layers/known-layers.ts'
import { keptWheels } from '../../layers/spliced-layers.ts'
import type { LayerStore } from '../../layers/stored-layer.ts'
import { hashOfSet, isClashFree, keysOfEnvironments } from '../../layers/notes.ts'
import type { Cache } from '../core/cache.ts'
import { maskUrl } from '../core/http.ts'
import type { Lock, LockedLayer, LockedLayers, LockedPart } from '../lock/lock.ts'
import { wheelLayersOf } from '../plan/make-plan.ts'
import { findRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'

/** How locked layers are used. */
export interface LockedLayersContext {
  readonly store: Store
  /** As layers are made. */
  readonly layers: LayerContext
  /** Make them anew and compare. */
  readonly isVerifying?: boolean | undefined
  /** False when the store keeps no layers; true unless given. */
  readonly isKeeping?: boolean | undefined
}

/** Puts what a lock says of layers of wheels before a store of layers; gives the store itself when it says nothing. */
export function withLockedLayers(store: LayerStore, lock: Lock, context: LockedLayersContext): LayerStore {
  if (lock.layers === undefined) return store
  const byKey = new Map(
    specsOf(lock)
      .flat()
      .map((spec) => [layerKey(spec, context.layers.compression), spec]),
  )
  return knownLayerStore(
    store,
    {
      find: lockedRecords(lock, context.layers),
      isKept: (key) => context.layers.compression === 'zstd' || keptWheels(byKey.get(key)) === undefined,
      make: async (key) => {
        const spec = byKey.get(key)
        if (spec === undefined) throw new RangeError(`No layer of the lock has the key ${key}`)
        return makeLayerStream(spec, { ...context.layers, isKnown: true })
      },
      nameOf: (key) => `the layer that the lock file knows of ${wheelNames(byKey.get(key))}`,
      isVerifying: context.isVerifying === true,
    },
    context.isKeeping === false ? undefined : context.store,
  )
}

/** The wheels of a layer, for people. */
function wheelNames(spec: LayerSpec | undefined): string {
  const [first, ...others] = spec?.kind === 'wheels' ? spec.wheels.map(({ url }) => maskUrl(url)) : []
  return `${first ?? 'no wheel'}${others.length > 0 ? ` and ${others.length} others` : ''}`
}

/** What a lock says that the layer of a key becomes, as far as it can be relied on. */
export function lockedRecords(lock: Lock, context: LayerContext): (key: string) => LockedLayer | undefined {
  const { layers } = lock
  if (layers === undefined) return () => undefined
  const usable = usableKeys(specsOf(lock), layers, context)
  return (key) => (usable.has(key) ? layers.records[key] : undefined)
}

/**
 * A lock with what its layers of wheels have become, as far as the local store knows; the lock itself when nothing changes.
 */
export async function recordLayers(lock: Lock, store: Store): Promise<Lock> {
  const [found, notes] = [store.cache('layers'), store.cache('layer-notes')]
  const specs = specsOf(lock)
  const records: Record<string, LockedLayer> = {}
  for (const key of specs.flatMap((list) => list.map((spec) => layerKey(spec))).toSorted()) {
    const record = (await findRecord(found, key)) ?? lock.layers?.records[key]
    if (record !== undefined) records[key] = record
  }
  const clashFree = await clashFreeSets(specs, lock, notes)
  if (Object.keys(records).length === 0) return lock
  const layers: LockedLayers = { records, clashFree, parts: await knownParts(lock, store.cache('ranges')) }
  return JSON.stringify(layers) === JSON.stringify(lock.layers) ? lock : { ...lock, layers }
}

/** Environments read the metadata of wheels that were asked for, and of no others. */
async function knownParts(lock: Lock, ranges: Cache): Promise<LockedLayers['parts']> {
  const wheels = lock.platforms.flatMap((platform) => [...platform.wheels, ...platform.launcher])
  const requested = new Set(wheels.filter((wheel) => wheel.requested).map(({ sha256 }) => sha256))
  const parts: Record<string, readonly LockedPart[]> = {}
  for (const sha256 of [...requested].toSorted()) {
    const known = (await loadRanges(ranges, sha256))?.describe() ?? lock.layers?.parts[sha256]
    if (known !== undefined) parts[sha256] = known
  }
  return parts
}

async function clashFreeSets(specs: Specs, lock: Lock, notes: Cache): Promise<readonly Digest[]> {
  const sets = new Set<Digest>()
  for (const keys of specs.flatMap((list) => keysOfEnvironments(list, {}))) {
    const set = hashOfSet(keys)
    if (lock.layers?.clashFree.includes(set) === true || (await isClashFree(keys, notes))) sets.add(set)
  }
  return [...sets].toSorted()
}

/** Layers of an environment whose wheels were not compared with each other have to be made, so that they are. */
function usableKeys(specs: Specs, layers: LockedLayers, context: LayerContext): ReadonlySet<string> {
  const sets = specs.flatMap((list) => keysOfEnvironments(list, context))
  return new Set(sets.filter((keys) => layers.clashFree.includes(hashOfSet(keys))).flat())
}

/** The layers of wheels of each platform. */
type Specs = readonly (readonly LayerSpec[])[]

function specsOf(lock: Lock): Specs {
  return lock.platforms.map((platform) => {
    const { wheels, launcher } = wheelLayersOf(platform)
    return [...wheels, ...launcher].map(({ spec }) => spec)
  })
}
