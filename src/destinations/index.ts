import { formatFamiliar, parseReference } from '../../registry/reference.ts'
import { Registries } from '../../registry/registries.ts'
import type { Cache } from '../core/cache.ts'
import type { Report } from '../core/progress.ts'
import type { Image, ImageIndex } from '../image/image.ts'
import { dockerArchiveSource, ociArchiveSource } from './archive-source.ts'
import { dockerArchiveDestination, ociArchiveDestination } from './archive.ts'
import type { Destination } from './destination.ts'
import { layoutSource } from './layout-source.ts'
import { parseLocation, type Location } from './location.ts'
import { assertPlace } from './place.ts'
import { layoutDestination } from './oci-layout.ts'
import { registryDestination } from './registry.ts'
import { registrySource } from './registry-source.ts'
import { readImage, readImageOrIndex, type ReadOptions, type Source } from './source.ts'

export { copyContent, copyImage, type CopyOptions, type CopyResult } from './copy.ts'
export { contentOf, type Content } from './content.ts'
export { convertContent } from './convert.ts'
export type { Destination } from './destination.ts'
export { formatLocation, parseLocation, resolvePath, type Location } from './location.ts'
export { memoryDestination, memoryImages, type MemoryImages } from './memory.ts'
export { choosePlatform, formatPlatform, hostPlatform, parsePlatform, type PlatformQuery } from './platform.ts'
export { readContent, readImage, readImageOrIndex, type Source } from './source.ts'

/** What locations are opened with. Keep one for an operation: connections and tokens are shared. */
export interface LocationContext {
  /** Made with defaults when a registry is needed and this is absent. */
  readonly registries?: Registries | undefined
  /** Remembers what pushed manifests name, so that less has to be asked the next time. */
  readonly contents?: Cache | undefined
  readonly report?: Report | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Opens a place to write an image to.
 *
 * @throws BuildError REFERENCE_INVALID, NOT_SUPPORTED for a text that names no place; FILE_UNWRITABLE for one where something
 *   else lies
 */
export async function openDestination(
  location: string | Location,
  context: LocationContext = {},
): Promise<Destination> {
  const place = typeof location === 'string' ? parseLocation(location) : location
  switch (place.kind) {
    case 'registry':
      return registryDestination(place.reference, registriesOf(context), { contents: context.contents })
    case 'oci':
      await assertPlace(place)
      return layoutDestination(place.path, place.tag)
    case 'oci-archive':
      await assertPlace(place)
      return ociArchiveDestination(place.path, place.tag)
    case 'docker-archive':
      await assertPlace(place)
      return dockerArchiveDestination(place.path, dockerName(place.tag))
  }
}

/** Opens a place to read an image from. @throws as {@link openDestination} */
export async function openSource(location: string | Location, context: LocationContext = {}): Promise<Source> {
  const place = typeof location === 'string' ? parseLocation(location) : location
  switch (place.kind) {
    case 'registry':
      return registrySource(place.reference, registriesOf(context))
    case 'oci':
      return layoutSource(place.path, place.tag)
    case 'oci-archive':
      return ociArchiveSource(place.path, place.tag)
    case 'docker-archive':
      return dockerArchiveSource(place.path, place.tag)
  }
}

/** Reads one image: manifest and configuration now, layers when they are opened. The place must still be there then. */
export async function openImage(
  location: string | Location,
  context: LocationContext & ReadOptions = {},
): Promise<Image> {
  return readImage(await openSource(location, context), context)
}

/** Reads all images of an index, or one image, as {@link openImage} does. */
export async function openImageOrIndex(
  location: string | Location,
  context: LocationContext = {},
): Promise<Image | ImageIndex> {
  return readImageOrIndex(await openSource(location, context))
}

function registriesOf({ registries, report, signal }: LocationContext): Registries {
  return registries ?? new Registries({ report, signal })
}

/** `model:v1` as a load will name it; a tag is added when there is none. */
function dockerName(tag: string | undefined): string | undefined {
  if (tag === undefined) return undefined
  const reference = parseReference(tag)
  return formatFamiliar({ ...reference, tag: reference.tag ?? 'latest' })
}
