import type { Compression } from '../../layers/compress.ts'
import { BuildError } from '../core/errors.ts'
import { parseLocation, type Location } from '../destinations/location.ts'
import type { ImageFormat } from '../image/make-image.ts'

/** Where an image goes, and how its layers are compressed there. */
export interface Output {
  readonly location: Location
  readonly compression: Compression
}

/** What holds for places that say nothing themselves. */
export interface OutputDefaults {
  readonly compression: Compression
  readonly format: ImageFormat
  /** What a `docker-archive:` that names nothing names the image, for whoever loads it. */
  readonly name?: string | undefined
}

/** In the order of `--help`. */
export const COMPRESSIONS: readonly Compression[] = ['gzip', 'zstd', 'none']

const SUFFIX = /,compression=([^,/]*)$/

/**
 * Reads a word of `-o`: a location, then `,compression=gzip|zstd|none` if it is to differ.
 *
 * @throws BuildError USAGE for a compression that nobody knows, or that the image's format has no type for
 */
export function parseOutput(word: string, defaults: OutputDefaults): Output {
  const [suffix, own] = SUFFIX.exec(word) ?? []
  const location = parseLocation(suffix === undefined ? word : word.slice(0, -suffix.length))
  if (own === undefined) return outputAt(location, defaults)
  const compression = COMPRESSIONS.find((name) => name === own)
  if (compression === undefined)
    throw new BuildError('USAGE', `Not a compression: \`${own}\``, { hint: `Known are ${COMPRESSIONS.join(', ')}.` })
  if (location.kind === 'docker-archive' && compression !== 'gzip') throw refuse(compression)
  return outputAt(location, { ...defaults, compression })
}

/** A place that says nothing itself. @throws as {@link parseOutput} */
export function outputAt(location: Location, { compression, format, name }: OutputDefaults): Output {
  // What is said of all places is not meant of one that cannot.
  if (location.kind === 'docker-archive')
    return { location: { ...location, tag: location.tag ?? name }, compression: 'gzip' }
  if (format === 'docker' && compression !== 'gzip') throw refuse(compression)
  return { location, compression }
}

/** @throws BuildError USAGE where an image cannot be indexed for lazy pulling */
export function assertLazy(outputs: readonly Output[], { format, load }: LazyOptions): void {
  const hint = 'Leave out --lazy, or write OCI images with gzip layers to a registry, oci: or oci-archive:.'
  const refuse = (text: string): BuildError => new BuildError('USAGE', `--lazy does not go with ${text}`, { hint })
  if (format === 'docker') throw refuse('--format docker')
  if (load === true) throw refuse('--load: an engine that is handed the image has all of it')
  for (const { location, compression } of outputs) {
    if (location.kind === 'docker-archive') throw refuse('docker-archive:')
    if (compression !== 'gzip') throw refuse(`layers of this compression: ${compression}`)
  }
}

/** Options that `--lazy` may clash with. */
interface LazyOptions {
  readonly format: ImageFormat
  readonly load?: boolean
}

function refuse(compression: Compression): BuildError {
  return new BuildError(
    'USAGE',
    `Docker's own format has layers of gzip only, not of this compression: ${compression}`,
    {
      hint: 'Leave out the compression, or use the OCI format.',
    },
  )
}
