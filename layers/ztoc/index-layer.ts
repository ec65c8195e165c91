import { BuildError } from '../../src/core/errors.ts'
import { checkLayer } from '../layer-check.ts'
import type { Layer } from '../layer.ts'
import type { CheckPool } from '../workers/pool.ts'
import { removeParts, type ZtocParts } from './spill.ts'

/** What may be given to {@link indexLayer}. */
export interface IndexOptions {
  readonly signal?: AbortSignal | undefined
  /** The calling thread does it when there are none. */
  readonly checks?: CheckPool | undefined
  /** A folder for temporary files; without it all of a table is held. */
  readonly spillFolder?: string | undefined
}

/**
 * Makes the table for lazy pulling of a layer that exists already, by inflating it once more; its diffId is compared on the way.
 *
 * @throws BuildError STORE_CORRUPT, ARCHIVE_INVALID, DIGEST_MISMATCH
 */
export async function indexLayer(layer: Layer, { signal, checks, spillFolder }: IndexOptions = {}): Promise<ZtocParts> {
  const what = `the layer ${layer.descriptor.digest}`
  const task = { expected: undefined, what, isIndexing: true, spillFolder } as const
  const check = checks?.check(task) ?? checkLayer(task)
  try {
    for await (const chunk of layer.open({ signal, reuse: true })) await check.write(chunk)
    const { diffId, ztoc } = await check.end()
    if (ztoc === undefined) throw new TypeError('A table needs the inflater of this program: run `npm run build`')
    if (diffId !== layer.diffId) {
      await removeParts(ztoc)
      throw new BuildError('DIGEST_MISMATCH', `The content of ${what} is not what its diffId says: ${layer.diffId}`, {
        hint: 'Whoever made the layer or its record is not to be trusted, or a disk is failing.',
        data: { expected: layer.diffId, actual: diffId },
      })
    }
    return ztoc
  } finally {
    check.close()
  }
}
