import type { Digest } from 'oci-spec-types'
import type { LayerContext } from '../../layers/context.ts'
import { loadRanges } from '../../layers/file-ranges.ts'
import { isGpuCodeKnown } from '../../layers/gpu-code.ts'
import { InstalledRecords } from '../../layers/installed-records.ts'
import { layerKey, makeLayerStream, type LayerSpec } from '../../layers/kinds/index.ts'
import { describeLayer } from '../../layers/kinds/words.ts'
import { knownLayerStore } from '../../layers/known-layers.ts'
import { keptWheels } from '../../layers/spliced-layers.ts'
import type { LayerStore } from '../../layers/stored-layer.ts'
import { hashOfSet, isClashFree, keysOfEnvironments } from '../../layers/notes.ts'
import type { Config } from '../config/config.ts'
import type { Cache } from '../core/cache.ts'
import { digestOf } from '../core/digest.ts'
import { canonicalDigest, canonicalJson } from '../core/json.ts'
import { maskUrl } from '../core/http.ts'
import { programVersion } from '../core/version.ts'
import type { Lock, LockedLayer, LockedLayers, LockedPart } from '../lock/lock.ts'
import { lockedLayersOf } from '../plan/make-plan.ts'
import { findRecord } from '../store/records.ts'
import type { Store } from '../store/store.ts'

/** How locked layers are used. */
export interface LockedLayersContext {
  readonly store: Store
  /** As layers are made. */
  readonly layers: LayerContext
  /** Make them anew and compare. */
  readonly isVerifying?: boolean | undefined
  /** Whether all who will want a layer have it; nobody does unless given. */
  readonly isThere?: ((digest: Digest) => Promise<boolean>) | undefined
  /** False when the store keeps no layers; true unless given. */
  readonly isKeeping?: boolean | undefined
}

/** A lock with the configuration that it was made for. */
export interface Answered {
  readonly lock: Lock
  readonly config: Pick<Config, 'build'>
}

/** Puts what a lock says of its layers before a store of layers; gives the store itself when it says nothing. */
export function withLockedLayers(store: LayerStore, answered: Answered, context: LockedLayersContext): LayerStore {
  if (answered.lock.layers === undefined) return store
  const byKey = new Map(
    specsOf(answered)
      .flat()
      .map((spec) => [layerKey(spec, context.layers.compression), spec]),
  )
  // What the layer of a wheel has read of it, its environment need not ask for.
  const layers = { ...context.layers, isKnown: true, installedRecords: new InstalledRecords() }
  return knownLayerStore(
    store,
    {
      find: lockedRecords(answered, context.layers),
      isKept: (key) => context.layers.compression === 'zstd' || keptWheels(byKey.get(key)) === undefined,
      make: async (key) => {
        const spec = byKey.get(key)
        if (spec === undefined) throw new RangeError(`No layer of the lock has the key ${key}`)
        return makeLayerStream(spec, layers)
      },
      isWorthwhile: async (key, { digest }) => {
        const spec = byKey.get(key)
        return spec === undefined || !MADE_TOGETHER.has(spec.kind) || (await context.isThere?.(digest)) === true
      },
      nameOf: (key) => `the layer that the lock file knows of ${nameOf(byKey.get(key))}`,
      isVerifying: context.isVerifying === true,
    },
    context.isKeeping === false ? undefined : context.store,
  )
}

/**
 * Layers that are sooner made with all others than one by one when they are wanted: threads compress them, and what is learned of packages while
 * they are laid is not read again to register them.
 */
const MADE_TOGETHER: ReadonlySet<LayerSpec['kind']> = new Set(['archive', 'debs', 'debian-registration'])

/** A layer, for people: one of wheels by where they come from. */
function nameOf(spec: LayerSpec | undefined): string {
  if (spec?.kind !== 'wheels') return spec === undefined ? 'nothing' : describeLayer(spec)
  const [first, ...others] = spec.wheels.map(({ url }) => maskUrl(url))
  return `${first ?? 'no wheel'}${others.length > 0 ? ` and ${others.length} others` : ''}`
}

/** What a lock says that the layer of a key becomes, as far as it can be relied on. */
export function lockedRecords(answered: Answered, context: LayerContext): (key: string) => LockedLayer | undefined {
  const { layers } = answered.lock
  if (layers === undefined) return () => undefined
  const usable = usableKeys(answered, layers, context)
  return (key) => {
    const recorded = usable.get(key)
    return recorded === undefined ? undefined : layers.records[recorded]
  }
}

/** A lock with what its layers have become, as far as the local store knows; the lock itself when nothing changes. */
export async function recordLayers(answered: Answered, store: Store): Promise<Lock> {
  const { lock } = answered
  const [found, notes] = [store.cache('layers'), store.cache('layer-notes')]
  const specs = specsOf(answered)
  const keys = new Map(specs.flat().map((spec) => [recordKey(spec, layerKey(spec)), layerKey(spec)]))
  const records: Record<string, LockedLayer> = {}
  for (const [recorded, key] of [...keys].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const record = (await findRecord(found, key)) ?? lock.layers?.records[recorded]
    if (record !== undefined) records[recorded] = record
  }
  const clashFree = await clashFreeSets(specs, lock, notes)
  const gpuCode = await gpuCodeSets(specs, answered, notes)
  if (Object.keys(records).length === 0) return lock
  const layers: LockedLayers = {
    records,
    clashFree,
    ...(gpuCode.length === 0 ? {} : { gpuCode }),
    parts: await knownParts(lock, store.cache('ranges')),
  }
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

async function gpuCodeSets(specs: Specs, { lock, config }: Answered, notes: Cache): Promise<readonly Digest[]> {
  const targets = config.build.targets.architectures
  const sets = new Set<Digest>()
  for (const list of targets.length === 0 ? [] : specs) {
    const set = hashWithGpus(list, {}, targets)
    if (lock.layers?.gpuCode?.includes(set) === true || (await isGpuCodeKnown(list, targets, notes))) sets.add(set)
  }
  return [...sets].toSorted()
}

/** Names the layers of wheels of a platform with the GPUs that need code in them. */
function hashWithGpus(
  list: Specs[number],
  context: Pick<LayerContext, 'compression'>,
  targets: readonly string[],
): Digest {
  return digestOf(canonicalJson({ keys: keysOfEnvironments(list, context), targets }))
}

/**
 * The keys of layers that need not be made, with those of their records. Layers of wheels that were not compared with the others of their
 * environment, or looked through for code for the project's GPUs, have to be made, so that they are.
 */
function usableKeys(answered: Answered, layers: LockedLayers, context: LayerContext): ReadonlyMap<string, string> {
  const targets = answered.config.build.targets.architectures
  const specs = specsOf(answered)
  const hasCode = (list: Specs[number]): boolean =>
    targets.length === 0 || layers.gpuCode?.includes(hashWithGpus(list, context, targets)) === true
  const sets = specs.filter(hasCode).flatMap((list) => keysOfEnvironments(list, context))
  const compared = new Set(sets.filter((keys) => layers.clashFree.includes(hashOfSet(keys))).flat())
  const keyed = specs.flat().map((spec) => ({ spec, key: layerKey(spec, context.compression) }))
  const usable = keyed.filter(({ spec, key }) => spec.kind !== 'wheels' || compared.has(key))
  return new Map(usable.map(({ spec, key }) => [key, recordKey(spec, key)]))
}

/**
 * Under which key a lock file has the record of a layer. What registers packages works out what their scripts would have done, and knows
 * more of them with each version: another version makes that layer anew, and is not held to what an earlier one wrote.
 */
function recordKey({ kind }: LayerSpec, key: string): string {
  return kind === 'debian-registration' ? canonicalDigest({ key, version: programVersion() }) : key
}

/** The layers of each platform that follow from a lock. */
type Specs = readonly (readonly LayerSpec[])[]

function specsOf({ lock, config }: Answered): Specs {
  return lock.platforms.map((platform) => lockedLayersOf(platform, config.build).map(({ spec }) => spec))
}
