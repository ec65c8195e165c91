import { digestAlgorithm } from 'oci-spec-types'
import type { Layer } from '../../../layers/layer.ts'
import { Digester, verify } from '../../core/digest.ts'
import { BuildError } from '../../core/errors.ts'
import { applyLayer, type ApplyOptions, type ApplyResult } from './apply-layer.ts'
import { decompressLayer } from './decompress.ts'

/** Bounds against archives that are made to fill a disk. */
export interface UnpackLimits {
  readonly maxEntries: number
  /** Uncompressed bytes that are always allowed. */
  readonly freeBytes: number
  /** Beyond `freeBytes`: uncompressed bytes for each compressed one. Deflate itself cannot exceed 1032. */
  readonly maxRatio: number
}

/** What layers of real images stay far below: the largest known have half a million entries and a ratio of 10. */
const DEFAULT_LIMITS: UnpackLimits = { maxEntries: 10_000_000, freeBytes: 4 * 1024 ** 3, maxRatio: 200 }

/** As much of a layer as unpacking takes. */
export type UnpackableLayer = Pick<Layer, 'descriptor' | 'diffId' | 'open'>

/** How a layer is unpacked; {@link DEFAULT_LIMITS} hold unless others are given. */
export type UnpackOptions = Omit<ApplyOptions, 'maxEntries'> & { readonly limits?: UnpackLimits }

/**
 * Unpacks a layer into a folder; its compressed bytes are checked against the descriptor and its tar against the
 * diffId on the way. After an error the folder's contents are worth nothing.
 *
 * @throws BuildError DIGEST_MISMATCH, SIZE_MISMATCH, ARCHIVE_INVALID, NOT_SUPPORTED, DISK_FULL
 */
export async function unpackLayer(
  folder: string,
  layer: UnpackableLayer,
  options: UnpackOptions,
): Promise<ApplyResult> {
  const limits = options.limits ?? DEFAULT_LIMITS
  const { descriptor, diffId } = layer
  const blob = verify(layer.open({ signal: options.signal }), descriptor, `the layer ${descriptor.digest}`)
  const digester = new Digester(digestAlgorithm(diffId))
  const tar = hashed(decompressLayer(descriptor.mediaType, blob, options.signal))
  const result = await applyLayer(folder, tar, { ...options, maxEntries: limits.maxEntries })
  const actual = digester.digest()
  if (actual !== diffId) {
    throw new BuildError('DIGEST_MISMATCH', `The layer ${descriptor.digest} unpacks to ${actual}, not ${diffId}`, {
      hint: 'The image was made or altered wrongly: its configuration does not fit its layers.',
      data: { expected: diffId, actual },
    })
  }
  return result

  async function* hashed(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const maxBytes = Math.max(limits.freeBytes, descriptor.size * limits.maxRatio)
    for await (const chunk of stream) {
      digester.update(chunk)
      if (digester.sizeBytes > maxBytes) {
        throw new BuildError(
          'ARCHIVE_INVALID',
          `The layer ${descriptor.digest} unpacks to more than ${maxBytes} bytes`,
          {
            hint: 'A layer that swells like this is made to fill a disk.',
          },
        )
      }
      yield chunk
    }
  }
}
