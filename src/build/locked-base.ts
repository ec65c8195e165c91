import type { Descriptor } from 'oci-spec-types'
import type { Layer } from '../../layers/layer.ts'
import type { Open } from '../core/bytes.ts'
import { openSource, parseLocation, resolvePath, type LocationContext } from '../destinations/index.ts'
import { readImage } from '../destinations/source.ts'
import type { LockedImageBase, LockedPlatform } from '../lock/lock.ts'
import type { OpenedBase } from '../resolve/context.ts'

/** How base images are had. */
interface Bases {
  readonly openBase: (location: string, platform: LockedPlatform) => Promise<OpenedBase>
  readonly baseLayers: (base: LockedImageBase) => readonly Layer[]
}

/** The same for the bases of a project, whose paths start from its folder; the lock has them as they are written. */
export function basesOf({ openBase, baseLayers }: Bases, projectFolder: string): Bases {
  return {
    openBase: (location, platform) => openBase(resolvePath(location, projectFolder), platform),
    baseLayers: (base) => baseLayers({ ...base, location: resolvePath(base.location, projectFolder) }),
  }
}

/** Opens an existing image for one platform: manifest and configuration now, layers when they are read. */
export async function openBase(
  location: string,
  platform: LockedPlatform,
  context: LocationContext,
): Promise<OpenedBase> {
  const image = await readImage(await openSource(location, context), { platform })
  return { manifest: image.descriptor, config: image.config, layers: image.layers }
}

/**
 * The layers of a base as its lock names them. Nobody is asked: a layer is fetched when a destination lacks it, by its
 * digest, whatever the tag says by then.
 */
export function lockedBaseLayers(base: LockedImageBase, context: LocationContext): readonly Layer[] {
  const place = parseLocation(base.location)
  const home =
    place.kind === 'registry'
      ? { registry: place.reference.registry, repository: place.reference.repository }
      : undefined
  const lines = (base.config.history ?? []).filter((line) => line.empty_layer !== true)
  return base.layers.map((descriptor, index) => ({
    descriptor,
    // The lock's layers and diffIds are one for one.
    diffId: base.config.rootfs.diff_ids[index] ?? descriptor.digest,
    open: openLater(base.location, descriptor, context),
    createdBy: lines[index]?.created_by ?? `layer of ${base.location}`,
    ...(home === undefined ? {} : { source: home }),
  }))
}

function openLater(location: string, descriptor: Descriptor, context: LocationContext): Open {
  return async function* (options) {
    yield* (await openSource(location, context)).blob(descriptor)(options)
  }
}
