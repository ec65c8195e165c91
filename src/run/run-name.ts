import { digestHex } from 'oci-spec-types'
import type { RunnableImage } from './image.ts'

/** The name under which an engine keeps an image that was handed over for running. */
export function runName(image: RunnableImage): string {
  return `localhost/layerwright-run:${digestHex(image.manifest.config.digest).slice(0, 24)}`
}
