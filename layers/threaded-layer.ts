import type { Digest } from 'oci-spec-types'
import { gathered } from '../src/core/bytes.ts'
import { layerMediaType } from './compress.ts'
import type { LayerStream } from './layer.ts'
import type { CheckPool } from './workers/pool.ts'

/**
 * Makes a layer of the parts of a tar, compressed quickly and hashed on another thread: the bytes of `layerOfTar` with the
 * framing `quick`.
 *
 * @param parts of any size; each is done with when the next is asked for
 */
export function layerOnThread(parts: AsyncIterable<Uint8Array>, checks: CheckPool): LayerStream {
  let diffId: Digest | undefined
  const blob = async function* (): AsyncGenerator<Uint8Array> {
    const thread = checks.check({ compress: 'quick' })
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
    mediaType: layerMediaType('quick'),
    blob: blob(),
    diffId: () => {
      if (diffId === undefined) throw new TypeError('A diffId is known only when the blob was read to its end')
      return diffId
    },
  }
}
