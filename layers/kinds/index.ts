import { digestOf } from '../../src/core/digest.ts'
import { canonicalJson } from '../../src/core/json.ts'
import { compressorName, type Compression } from '../compress.ts'
import { DEFAULT_MTIME_SECONDS, LAYOUT_VERSION, type LayerContext } from '../context.ts'
import { debianRegistrationKind } from './debian-registration.ts'
import { debsKind } from './debs.ts'
import { archiveKind } from './archive.ts'
import { environmentKind } from './environment.ts'
import { filesKind } from './files.ts'
import { inlineKind } from './inline.ts'
import type { FoundLayerStream, LayerKind } from './kind.ts'
import { treeKind } from './tree.ts'
import { weightSetKind } from './weight-set.ts'
import { weightsKind } from './weights.ts'
import { wheelsKind } from './wheels.ts'

/** Every way to make a layer. To add one: write its file, add it here. */
const KINDS = {
  wheels: wheelsKind,
  debs: debsKind,
  'debian-registration': debianRegistrationKind,
  environment: environmentKind,
  archive: archiveKind,
  files: filesKind,
  weights: weightsKind,
  'weight-set': weightSetKind,
  tree: treeKind,
  inline: inlineKind,
} as const

/** What a layer is made from: plain JSON, tagged by `kind`. */
export type LayerSpec = SpecOf<(typeof KINDS)[keyof typeof KINDS]>

type SpecOf<Kind> = Kind extends LayerKind<infer Spec> ? Spec : never

/** Makes a layer's bytes, in one pass. */
export async function makeLayerStream(spec: LayerSpec, context: LayerContext): Promise<FoundLayerStream> {
  return kindOf(spec).make(spec, context)
}

/** What made a layer, in a few words, for its history line. */
export function describeLayer(spec: LayerSpec): string {
  return kindOf(spec).createdBy(spec)
}

/** About how many bytes a layer will have, for progress; undefined when nobody knows. */
export function expectedLayerBytes(spec: LayerSpec, compression: Compression = 'gzip'): number | undefined {
  return compression === 'gzip' ? kindOf(spec).expectedBytes?.(spec) : undefined
}

/**
 * The key of a layer: equal for equal content, wherever it is fetched from.
 *
 * Members named `url` are left out; the layout version and what the context decides (compression, time) are part of it.
 */
export function layerKey(spec: LayerSpec, compression: Compression = 'gzip', mtimeSeconds?: number): string {
  // Only these kinds hear of the time; a wheel's layer must be found under any SOURCE_DATE_EPOCH.
  const mtime = TIMED_KINDS.has(spec.kind) ? (mtimeSeconds ?? DEFAULT_MTIME_SECONDS) : undefined
  return digestOf(
    canonicalJson({ layout: LAYOUT_VERSION, compression: compressorName(compression), mtime, spec: withoutUrls(spec) }),
  )
}

const TIMED_KINDS: ReadonlySet<string> = new Set(['files', 'inline', 'weights', 'weight-set'])

// The table is checked member by member; that the tag picks the one that fits is not: methods take any of the specs.
function kindOf(spec: LayerSpec): LayerKind<LayerSpec> {
  return KINDS[spec.kind]
}

function withoutUrls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUrls)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== 'url')
      .map(([key, member]) => [key, withoutUrls(member)]),
  )
}
