import { createHash } from 'node:crypto'
import { openQuickGzip } from './deflate/quick-gzip.ts'
import type { LayerCheck } from './layer-check.ts'
import { openIndexingGzip, type IndexingGzip } from './ztoc/ztoc.ts'

/** A tar that is to be compressed and hashed; nothing in it is checked. */
export interface CompressTask {
  readonly compress: 'gzip'
  /** Make the table for lazy pulling, too. */
  readonly indexing?: IndexingTask | undefined
}

/** How the table for lazy pulling is made. */
export interface IndexingTask {
  /** Names the layer in errors. */
  readonly what: string
  /** As of `CheckTask`. */
  readonly spillFolder?: string | undefined
}

/** Compresses and hashes a tar, which it takes as a check takes a layer: what is made are the layer's bytes. */
export function compressTar({ indexing }: CompressTask): LayerCheck {
  const table: IndexingGzip | undefined =
    indexing === undefined ? undefined : openIndexingGzip(indexing.what, indexing.spillFolder)
  const gzip = table ?? openQuickGzip()
  const hash = createHash('sha256')
  let tarBytes = 0
  return {
    write: async (chunk) => {
      hash.update(chunk)
      tarBytes += chunk.length
      gzip.write(chunk)
    },
    end: async () => {
      gzip.end()
      const diffId = `sha256:${hash.digest('hex')}` as const
      return { diffId, tarBytes, libraries: [], ztoc: table?.ztoc(), spentMs: { hash: 0 } }
    },
    made: (moreThan = 0) => (gzip.waitingBytes() > moreThan ? [gzip.take()] : []),
    madeInto: gzip.takeInto,
    close: () => table?.close(),
  }
}
