import { canonicalDigest } from '../../src/core/json.ts'
import { baseFilesDigest } from '../../src/debian/base-files.ts'
import { compressorName, type Compression } from '../compress.ts'
import { DEFAULT_MTIME_SECONDS, LAYOUT_VERSION, REGISTRATION_VERSION, type LayerContext } from '../context.ts'
import type { FoundLayerStream, LayerKind } from './kind.ts'

/**
 * Every way to make a layer, loaded when one is made: most builds find most layers made. To add one: write its file, add it
 * here, and say it in words.
 */
const KINDS = {
  wheels: async () => (await import('./wheels.ts')).wheelsKind,
  debs: async () => (await import('./debs.ts')).debsKind,
  'debian-registration': async () => (await import('./debian-registration.ts')).debianRegistrationKind,
  environment: async () => (await import('./environment.ts')).environmentKind,
  archive: async () => (await import('./archive.ts')).archiveKind,
  files: async () => (await import('./files.ts')).filesKind,
  weights: async () => (await import('./weights.ts')).weightsKind,
  'weight-set': async () => (await import('./weight-set.ts')).weightSetKind,
  tree: async () => (await import('./tree.ts')).treeKind,
  inline: async () => (await import('./inline.ts')).inlineKind,
} as const

/** What a layer is made from: plain JSON, tagged by `kind`. */
export type LayerSpec = SpecOf<Awaited<ReturnType<(typeof KINDS)[keyof typeof KINDS]>>>

type SpecOf<Kind> = Kind extends LayerKind<infer Spec> ? Spec : never

/** Makes a layer's bytes, in one pass. */
export async function makeLayerStream(spec: LayerSpec, context: LayerContext): Promise<FoundLayerStream> {
  const kind = await kindOf(spec)
  return kind.make(spec, context)
}

/** About how many bytes a layer will have, for progress; undefined when nobody knows. */
export function expectedLayerBytes(spec: LayerSpec, compression: Compression = 'gzip'): number | undefined {
  if (spec.kind !== 'wheels' || compression !== 'gzip') return undefined
  // A spliced layer is the wheels' own deflate bytes with headers between them.
  return spec.wheels.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}

/**
 * The key of a layer: equal for equal content, wherever it is fetched from.
 *
 * Members named `url` are left out; the layout version and what the context decides (compression, time) are part of it.
 */
export function layerKey(spec: LayerSpec, compression: Compression = 'gzip', mtimeSeconds?: number): string {
  // Only these kinds hear of the time; a wheel's layer must be found under any SOURCE_DATE_EPOCH.
  const mtime = TIMED_KINDS.has(spec.kind) ? (mtimeSeconds ?? DEFAULT_MTIME_SECONDS) : undefined
  const framing = compressorOf(spec, compression)
  const keys = known.get(spec) ?? new Map<string, string>()
  const made = keys.get(`${framing} ${mtime}`)
  if (made !== undefined) return made
  const key = canonicalDigest({ layout: LAYOUT_VERSION, compression: framing, mtime, spec: contentOf(spec) }, 'url')
  known.set(spec, keys.set(`${framing} ${mtime}`, key))
  return key
}

/** A build asks for the key of a spec, which is never changed, a dozen times. */
const known = new WeakMap<LayerSpec, Map<string, string>>()

// Wheels are spliced: what lies between their own bytes is part of the layout, and no encoder of layers has seen it.
function compressorOf(spec: LayerSpec, compression: Compression): string {
  return spec.kind === 'wheels' && compression === 'gzip' ? 'gzip' : compressorName(compression)
}

// A base's files are packed in the spec, and what packs them is zlib, which promises the same bytes for no two versions.
function contentOf(spec: LayerSpec): object {
  if (spec.kind !== 'debian-registration') return spec
  const base = spec.base === undefined ? undefined : baseFilesDigest(spec.base)
  return { ...spec, base, version: REGISTRATION_VERSION }
}

const TIMED_KINDS: ReadonlySet<string> = new Set(['files', 'inline', 'weights', 'weight-set'])

// The table is checked member by member; that the tag picks the one that fits is not: methods take any of the specs.
function kindOf(spec: LayerSpec): Promise<LayerKind<LayerSpec>> {
  return KINDS[spec.kind]()
}
