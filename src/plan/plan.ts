import type { Annotations, ImageConfig } from 'oci-spec-types'
import type { LayerSpec } from '../../layers/kinds/index.ts'
import type { StepMount } from '../config/config.ts'
import type { LockedBase, LockedChoice, LockedPlatform } from '../lock/lock.ts'
import type { RemoteFile } from '../core/remote-file.ts'
import type { LockedSource } from '../python/lock.ts'

/** What a layer is for; layers lie in this order, lowest first, so that what changes most lies on top. */
const LAYER_ROLES = [
  'base',
  'interpreter',
  'system',
  'wheels',
  'environment',
  'bytecode',
  'runtime',
  'run',
  'weights',
  'code',
] as const

/** See {@link LAYER_ROLES}. */
export type LayerRole = (typeof LAYER_ROLES)[number]

/** A layer to be made. */
export interface PlannedLayer {
  readonly role: LayerRole
  /** A few words for people. */
  readonly title: string
  readonly spec: LayerSpec
}

/** A command to be run on top of the layers before it, whose changes become a layer. */
export interface PlannedStep {
  readonly role: 'run' | 'bytecode'
  readonly title: string
  readonly command: string
  readonly mounts: readonly StepMount[]
}

/**
 * A package whose wheel is built before the layers are made. Layers name its source's file in the place of the wheel's.
 */
export interface PlannedSource {
  readonly name: string
  readonly version: string
  readonly file: RemoteFile & { readonly filename: string }
  readonly source: LockedSource
}

/**
 * Everything about an image that can be known without moving bytes. Plain JSON: printable, comparable, hashable.
 *
 * Equal plans give equal images.
 */
export interface Plan {
  readonly planVersion: 1
  readonly platform: LockedPlatform
  /** An existing image below everything; absent when the base's own layers are among `layers`. */
  readonly base?: Extract<LockedBase, { kind: 'image' }>
  /** Lowest first. */
  readonly layers: readonly (PlannedLayer | PlannedStep)[]
  /** In order of name; absent when every package comes as a wheel. */
  readonly sources?: readonly PlannedSource[]
  readonly runtime: NonNullable<ImageConfig['config']>
  /** GPU architectures that every package with GPU code must have some for, as compute capabilities; absent for any. */
  readonly targets?: readonly string[]
  readonly annotations: Annotations
  /** RFC 3339; the same for every build of the same sources. */
  readonly created: string
  readonly choices: readonly LockedChoice[]
  /** What of the base is not taken over, and other things a person should know. */
  readonly notes: readonly string[]
}

/** Tells a command from a layer that is computed. */
export function isPlannedStep(layer: PlannedLayer | PlannedStep): layer is PlannedStep {
  return 'command' in layer
}
