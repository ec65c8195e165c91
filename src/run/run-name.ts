import { digestHex } from 'oci-spec-types'
import type { RunnableImage } from './image.ts'

const REPOSITORY = 'localhost/layerwright-run'

/** The name under which an engine keeps an image that was handed over for running. */
export function runName(image: RunnableImage): string {
  return `${REPOSITORY}:${digestHex(image.manifest.config.digest).slice(0, 24)}`
}

/** Tells whether an engine's image has such a name. */
export function isRunName(name: string): boolean {
  return name.startsWith(`${REPOSITORY}:`) && /^[0-9a-f]{24}$/.test(name.slice(REPOSITORY.length + 1))
}
