import { BuildError } from '../src/core/errors.ts'
import { layerMediaType } from './compress.ts'
import type { LayerContext } from './context.ts'
import { layerKey } from './kinds/index.ts'
import type { FoundLayerStream } from './kinds/kind.ts'
import { checkSpliced, OUTPUTS, type WheelsLayerSpec } from './kinds/wheels.ts'
import type { LayerFindings } from './layer-check.ts'
import type { LayerStore } from './stored-layer.ts'
import { loadClaims, loadLibraries } from './notes.ts'

/**
 * A layer of wheels from the same layer as gzip, when it lies in the store with what was found in it: no wheel is fetched and
 * nothing is proven twice.
 *
 * The bytes are those that the wheels would give: zstd's depend on the tar alone.
 */
export async function recompressed(
  spec: WheelsLayerSpec,
  context: LayerContext,
  store: LayerStore,
): Promise<FoundLayerStream | undefined> {
  const { compression = 'gzip', mtimeSeconds } = context
  const asGzip = { compression: 'gzip', mtimeSeconds } as const
  const here = await store.findHere?.(layerKey(spec, 'gzip', mtimeSeconds))
  if (here === undefined) return undefined
  const [claims, libraries] = [
    await loadClaims(spec, asGzip, store.notes),
    await loadLibraries(spec, asGzip, store.notes),
  ]
  if (claims === undefined || libraries === undefined) return undefined
  let found: LayerFindings | undefined
  const findings = (): LayerFindings => {
    if (found === undefined) throw new TypeError('A diffId is known only when the blob was read to its end')
    return { ...found, libraries }
  }
  const task = { expected: undefined, what: `the stored layer ${here.descriptor.digest}`, output: OUTPUTS[compression] }
  const source = here.open({ reuse: true, signal: context.signal })
  return {
    mediaType: layerMediaType(compression),
    blob: checkSpliced(source, task, context, (made) => {
      if (made.diffId !== here.diffId)
        throw new BuildError('STORE_CORRUPT', `The store's record of ${here.descriptor.digest} names another diffId`, {
          hint: 'Run `layerwright cache prune`, then the same command again.',
        })
      found = made
    }),
    diffId: () => findings().diffId,
    findings,
    claims,
  }
}
