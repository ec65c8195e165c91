import type { Digest } from 'oci-spec-types'
import { gathered } from '../src/core/bytes.ts'
import { layerMediaType } from './compress.ts'
import type { Entry } from './entry.ts'
import { layerOfTar, writeTar, writeTarParts, type FilesOptions } from './files.ts'
import type { LayerStream } from './layer.ts'
import type { CheckOptions, CheckPool } from './workers/pool.ts'

/** How a large layer is made. */
export interface LargeOptions extends FilesOptions, CheckOptions {
  readonly checks?: CheckPool | undefined
}

/**
 * Makes a layer of entries in the order given; what is to become gzip is compressed on another thread where there is one. Worth
 * its start for some megabytes and more. The same bytes either way.
 */
export function layerOfLarge(
  entries: Iterable<Entry> | AsyncIterable<Entry>,
  { compression = 'gzip', mtimeSeconds, checks, mayShare }: LargeOptions,
): LayerStream {
  if (compression === 'gzip' && checks !== undefined)
    return layerOnThread(writeTarParts(entries, { mtimeSeconds, reuse: true }), checks, { mayShare })
  return layerOfTar(writeTar(entries, mtimeSeconds), compression)
}

/**
 * Makes a layer of the parts of a tar, compressed by gzip and hashed on another thread: the bytes of `layerOfTar`.
 *
 * @param parts of any size; each is done with when the next is asked for
 */
export function layerOnThread(
  parts: AsyncIterable<Uint8Array>,
  checks: CheckPool,
  options: CheckOptions = {},
): LayerStream {
  let diffId: Digest | undefined
  const blob = async function* (): AsyncGenerator<Uint8Array> {
    const thread = checks.check({ compress: 'gzip' }, options)
    try {
      for await (const chunk of gathered(parts)) {
        await thread.write(chunk)
        yield* thread.made()
      }
      const findings = await thread.end()
      yield* thread.made()
      diffId = findings.diffId
    } finally {
      thread.close()
    }
  }
  return {
    mediaType: layerMediaType('gzip'),
    blob: blob(),
    diffId: () => {
      if (diffId === undefined) throw new TypeError('A diffId is known only when the blob was read to its end')
      return diffId
    },
  }
}
