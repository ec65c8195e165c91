import type { Digest } from 'oci-spec-types'
import { gathered } from '../src/core/bytes.ts'
import { layerMediaType } from './compress.ts'
import type { IndexingTask } from './compress-check.ts'
import type { LayerContext } from './context.ts'
import type { Entry } from './entry.ts'
import { layerOfTar, writeTar, writeTarParts, type FilesOptions } from './files.ts'
import type { FoundLayerStream } from './kinds/kind.ts'
import type { CheckOptions, CheckPool } from './workers/pool.ts'
import type { ZtocParts } from './ztoc/spill.ts'

/** How a large layer is made. */
export interface LargeOptions extends FilesOptions, CheckOptions {
  readonly checks?: CheckPool | undefined
  /** Make the table for lazy pulling of what is compressed on a thread. */
  readonly indexing?: IndexingTask | undefined
}

/** What is asked of a large layer where tables for lazy pulling are kept. @param what names the layer in errors */
export function indexingOf({ keepZtoc, spillFolder }: LayerContext, what: string): IndexingTask | undefined {
  return keepZtoc === undefined ? undefined : { what, spillFolder }
}

/**
 * Makes a layer of entries in the order given; what is to become gzip is compressed on another thread where there is one. Worth
 * its start for some megabytes and more. The same bytes either way.
 */
export function layerOfLarge(
  entries: Iterable<Entry> | AsyncIterable<Entry>,
  { compression = 'gzip', mtimeSeconds, checks, ...options }: LargeOptions,
): FoundLayerStream {
  if (compression === 'gzip' && checks !== undefined)
    return layerOnThread(writeTarParts(entries, { mtimeSeconds, reuse: true }), checks, options)
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
  { indexing, ...options }: CheckOptions & Pick<LargeOptions, 'indexing'> = {},
): FoundLayerStream {
  let diffId: Digest | undefined
  let ztoc: ZtocParts | undefined
  const blob = async function* (): AsyncGenerator<Uint8Array> {
    const thread = checks.check({ compress: 'gzip', indexing }, options)
    try {
      for await (const chunk of gathered(parts)) {
        await thread.write(chunk)
        yield* thread.made()
      }
      const findings = await thread.end()
      yield* thread.made()
      diffId = findings.diffId
      ztoc = findings.ztoc
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
    ztoc: () => ztoc,
  }
}
