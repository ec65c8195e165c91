import type { Location } from '../destinations/location.ts'
import type { Store } from '../store/store.ts'

/** A local image as a location: the store's folder is an OCI layout, and names of images are its tags. */
export function localImage(store: Store, name: string): Location {
  return { kind: 'oci', path: store.folder, tag: name }
}
