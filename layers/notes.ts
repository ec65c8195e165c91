import { gunzipSync, gzipSync } from 'node:zlib'
import type { Digest } from 'oci-spec-types'
import type { Cache } from '../src/core/cache.ts'
import { digestOf } from '../src/core/digest.ts'
import { groupBy } from '../src/core/group-by.ts'
import { canonicalJson } from '../src/core/json.ts'
import { explainClashes, settleClaims, type Claim, type Clash } from './clashes.ts'
import type { LayerContext } from './context.ts'
import { layerKey, type LayerSpec } from './kinds/index.ts'
import type { FoundLayerStream } from './kinds/kind.ts'
import type { PlacedLibrary } from '../src/python/libraries.ts'

/** Keeps what was seen while a layer was made, so that later builds need not open its files again. */
export async function saveNotes(key: string, stream: FoundLayerStream, notes: Cache): Promise<void> {
  if (stream.claims !== undefined) await notes.set(`claims ${key}`, pack(stream.claims))
  const libraries = stream.findings?.().libraries
  if (libraries !== undefined) await notes.set(`libraries ${key}`, pack(libraries))
}

/**
 * The shared libraries in layers of wheels, with what they need.
 *
 * @returns undefined for a layer that was not made here and of which nothing is known
 */
export async function loadLibraries(
  spec: LayerSpec,
  context: Pick<LayerContext, 'compression' | 'mtimeSeconds'>,
  notes: Cache,
): Promise<readonly PlacedLibrary[] | undefined> {
  return load(`libraries ${layerKey(spec, context.compression, context.mtimeSeconds)}`, notes)
}

/** Which package brought each path of a layer of wheels; undefined when nothing is known of it. */
export async function loadClaims(
  spec: LayerSpec,
  context: Pick<LayerContext, 'compression' | 'mtimeSeconds'>,
  notes: Cache,
): Promise<readonly Claim[] | undefined> {
  return load(`claims ${layerKey(spec, context.compression, context.mtimeSeconds)}`, notes)
}

/**
 * Refuses layers of wheels that fill one path of one environment differently.
 *
 * A set of layers that was found free of clashes is remembered, so that a build that changes nothing reads nothing.
 *
 * @throws BuildError WHEEL_INVALID naming both packages
 */
export async function checkClashes(specs: readonly LayerSpec[], context: LayerContext, notes: Cache): Promise<void> {
  for (const keys of keysOfEnvironments(specs, context)) {
    if (await isClashFree(keys, notes)) continue
    const clashes = await findClashes(keys, notes)
    if (clashes.length > 0) throw explainClashes(clashes)
    await notes.set(`no clashes ${hashOfSet(keys)}`, Buffer.from('1'))
  }
}

/**
 * Looks at paths alone first, and then at the layers that share one: the claims of all packages at once are many times as
 * large as their paths, and hardly any path is claimed twice.
 */
async function findClashes(keys: readonly string[], notes: Cache): Promise<readonly Clash[]> {
  const claimsIn = async (key: string): Promise<readonly Claim[]> => (await load(`claims ${key}`, notes)) ?? []
  const first = new Map<string, string>()
  const shared = new Set<string>()
  const sharing = new Set<string>()
  for (const key of keys) {
    for (const { path } of await claimsIn(key)) {
      const earlier = first.get(path)
      if (earlier === undefined) first.set(path, key)
      else {
        shared.add(path)
        sharing.add(earlier).add(key)
      }
    }
  }
  const claims: Claim[] = []
  for (const key of keys.filter((key) => sharing.has(key))) {
    for (const claim of await claimsIn(key)) if (shared.has(claim.path)) claims.push(claim)
  }
  return settleClaims(claims).clashes
}

/** The keys of the layers of wheels, together for each environment, in their order. */
export function keysOfEnvironments(
  specs: readonly LayerSpec[],
  context: Pick<LayerContext, 'compression' | 'mtimeSeconds'>,
): readonly (readonly string[])[] {
  const wheels = specs.filter((spec) => spec.kind === 'wheels')
  return [...groupBy(wheels, ({ prefix }) => prefix).values()].map((group) =>
    group.map((spec) => layerKey(spec, context.compression, context.mtimeSeconds)),
  )
}

/** Names a set of layers that lie in one environment. */
export function hashOfSet(keys: readonly string[]): Digest {
  return digestOf(canonicalJson(keys))
}

/** Whether a set of layers was found free of clashes. */
export async function isClashFree(keys: readonly string[], notes: Cache): Promise<boolean> {
  return keys.length < 2 || (await notes.get(`no clashes ${hashOfSet(keys)}`)) !== undefined
}

function pack(value: unknown): Buffer {
  return gzipSync(JSON.stringify(value), { level: 1 })
}

async function load<T>(key: string, notes: Cache): Promise<T | undefined> {
  const bytes = await notes.get(key)
  if (bytes === undefined) return undefined
  try {
    return JSON.parse(gunzipSync(bytes).toString('utf8')) as T
  } catch {
    // A damaged note is as good as none.
    return undefined
  }
}
