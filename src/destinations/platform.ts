import type { Descriptor, Platform } from 'oci-spec-types'

/** What must fit; parts left out fit anything, but a plain machine is preferred. */
export type PlatformQuery = Pick<Platform, 'os' | 'architecture'> & Partial<Platform>

/** `linux/arm64/v8` -> its parts; an architecture alone means Linux. */
export function parsePlatform(text: string): PlatformQuery {
  const parts = text.split('/')
  const [os = '', architecture = '', variant] = parts.length === 1 ? ['linux', ...parts] : parts
  return normalize({ os, architecture, ...(variant === undefined ? {} : { variant }) })
}

/** The text of a platform. */
export function formatPlatform({ os, architecture, variant }: PlatformQuery): string {
  return [os, architecture, variant].filter((part) => part !== undefined && part !== '').join('/')
}

/** The platform of this machine's images: Linux always, with this processor. */
export function hostPlatform(architecture: string = process.arch): PlatformQuery {
  return normalize({ os: 'linux', architecture })
}

/**
 * The entry of an index that fits a platform best.
 *
 * The highest variant that the processor can run wins; among equals the first, as the specification says. Attestations
 * (`unknown/unknown`) never fit.
 *
 * @see OCI image-spec, image-index.md; containerd platforms for the order of variants
 */
export function choosePlatform(manifests: readonly Descriptor[], query: PlatformQuery): Descriptor | undefined {
  const wanted = normalize(query)
  let best: { readonly entry: Descriptor; readonly rank: number } | undefined
  for (const entry of manifests) {
    const { platform, artifactType } = entry
    // What is said of an image may have the image's platform.
    const rank = platform === undefined || artifactType !== undefined ? -1 : rankOf(normalize(platform), wanted)
    if (rank >= 0 && (best === undefined || rank > best.rank)) best = { entry, rank }
  }
  return best?.entry
}

/** -1: does not run there; else the higher the better. */
function rankOf(offered: PlatformQuery, wanted: PlatformQuery): number {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return -1
  if (wanted['os.version'] !== undefined && offered['os.version'] !== wanted['os.version']) return -1
  const has = variantNumber(offered)
  const may = variantNumber(wanted)
  if (wanted.variant === undefined || wanted.variant === '') return 100 - has
  return has <= may ? 1 + has : -1
}

/** `v7` -> 7; amd64 without a variant is v1, arm v7, arm64 v8. */
function variantNumber({ variant, architecture }: PlatformQuery): number {
  const match = /^v(\d+)/.exec(variant ?? '')
  if (match !== null) return Number(match[1])
  return { arm: 7, arm64: 8 }[architecture] ?? 1
}

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  x64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  i386: '386',
  i686: '386',
  ia32: '386',
  armhf: 'arm',
  armel: 'arm',
}

/** One name for each platform: `aarch64` and `arm64/v8` are `arm64`, `armhf` is `arm/v7`, `amd64/v1` is `amd64`. */
function normalize(platform: PlatformQuery): PlatformQuery {
  const written = platform.architecture.toLowerCase()
  const architecture = ARCHITECTURES[written] ?? written
  let { variant } = platform
  if (written === 'armhf') variant ??= 'v7'
  if (written === 'armel') variant ??= 'v6'
  if (variant !== undefined && /^\d/.test(variant)) variant = `v${variant}`
  const isDefault = (architecture === 'arm64' && variant === 'v8') || (architecture === 'amd64' && variant === 'v1')
  const { variant: _, ...rest } = platform
  return {
    ...rest,
    os: platform.os.toLowerCase(),
    architecture,
    ...(variant === undefined || variant === '' || isDefault ? {} : { variant }),
  }
}
