import { resolve } from 'node:path'
import type { Location } from '../destinations/location.ts'
import type { Store } from '../store/store.ts'

/** A local image as a location: the store's folder is an OCI layout, and names of images are its tags. */
export function localImage(store: Store, name: string): Location {
  return { kind: 'oci', path: store.folder, tag: name }
}

/** Paths of locations are relative to where the command was called. */
export function resolvePath(location: string, cwd: string): string {
  const match = /^(oci|oci-archive|docker-archive):(.*)$/s.exec(location)
  // A path that is missing is not the folder where the command was called.
  return match === null || match[2] === '' ? location : `${match[1]}:${resolve(cwd, match[2] ?? '')}`
}
