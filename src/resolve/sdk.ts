import type { Config } from '../config/config.ts'
import type { LockedChoice } from '../lock/lock.ts'
import type { LockedWheel } from '../python/lock.ts'
import { parseRequirement } from '../python/requirement.ts'
import type { RootRequirement } from '../python/resolution-input.ts'

/**
 * What the runtime needs in the model's environment: Cog's own SDK, which brings its server `coglet` from 0.17 on; with our
 * runtime nothing, or where the image traces what makes the model's own spans.
 *
 * Without a version the newest release is taken, with `prerelease` the newest of all.
 */
export function sdkRequirement({ runtime, build, tracing }: Config): Sdk | undefined {
  if (runtime !== 'coglet') {
    if (tracing === undefined) return undefined
    const requirement = parseRequirement('opentelemetry-sdk')
    return { root: { requirement, origin: 'observability.traces' }, allowsPreReleases: false }
  }
  const { sdkVersion } = build
  const allowsPreReleases = sdkVersion === 'prerelease'
  const version = sdkVersion === undefined || allowsPreReleases ? '>=0.16.0' : `==${sdkVersion}`
  const extra = tracing === undefined ? '' : '[tracing]'
  return {
    root: { requirement: parseRequirement(`cog${extra}${version}`), origin: 'runtime: coglet' },
    allowsPreReleases,
  }
}

/** That package as it is asked for. */
export interface Sdk {
  readonly root: RootRequirement
  /** Whether pre-releases of it, and of what it needs, are taken as readily as releases. */
  readonly allowsPreReleases: boolean
}

/** Says which server the image has, where it is not the usual one. */
export function runtimeChoice({ runtime, build }: Config, wheels: readonly LockedWheel[]): readonly LockedChoice[] {
  if (runtime !== 'coglet') return []
  const versions = wheels.filter(({ name }) => name === 'cog' || name === 'coglet')
  const value = versions.map(({ name, version }) => `${name} ${version}`).join(', ')
  const reason =
    build.sdkVersion === undefined
      ? 'runtime is coglet; the newest release that fits'
      : `runtime is coglet; build.sdk_version is ${build.sdkVersion}`
  const rejected = "layerwright's own server: no 409 for sequential clients, restarts a dead model, queue worker"
  return [{ key: 'runtime', value, reason, rejected }]
}
