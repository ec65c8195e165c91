import { createHash } from 'node:crypto'
import { openQuickGzip } from './deflate/quick-gzip.ts'
import type { LayerCheck } from './layer-check.ts'

/** A tar that is to be compressed and hashed; nothing in it is checked. */
export interface CompressTask {
  readonly compress: 'gzip'
}

/** Compresses and hashes a tar, which it takes as a check takes a layer: what is made are the layer's bytes. */
export function compressTar(): LayerCheck {
  const gzip = openQuickGzip()
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
      return { diffId: `sha256:${hash.digest('hex')}`, tarBytes, libraries: [], spentMs: { hash: 0 } }
    },
    made: (moreThan = 0) => (gzip.waitingBytes() > moreThan ? [gzip.take()] : []),
    madeInto: gzip.takeInto,
    close: () => {},
  }
}
