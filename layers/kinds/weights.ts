import { join } from 'node:path'
import { openFile } from '../../src/core/file-access.ts'
import { settleAll } from '../../src/core/settle.ts'
import type { Compression, Framing } from '../compress.ts'
import { framingOf } from '../compressible.ts'
import { arrange } from '../files.ts'
import type { ListedFile } from '../listed-files.ts'
import { entriesOf } from '../project-files.ts'
import { indexingOf, layerOfLarge } from '../threaded-layer.ts'
import type { LayerKind } from './kind.ts'

/** Large files of the project, such as model weights. */
export interface WeightsLayerSpec {
  readonly kind: 'weights'
  /** Folder relative to the project, `.` for itself. */
  readonly root: string
  /** Absolute path in the image. */
  readonly target: string
  readonly files: readonly ListedFile[]
}

/**
 * Lays large files in a layer of their own, streamed.
 *
 * Most weights are nearly random bits, which take gzip half a minute a gigabyte to become a few percent smaller; those
 * are framed as they are. The choice is made from samples of the files, so equal files give equal bytes.
 */
export const weightsKind: LayerKind<WeightsLayerSpec> = {
  kind: 'weights',
  make: async ({ root, target, files }, context) => {
    const { compression = 'gzip', mtimeSeconds, projectFolder, checks } = context
    const folder = join(projectFolder, root)
    const paths = files.flatMap((file) => ('sha256' in file ? [join(folder, file.path)] : []))
    const framing = await chooseFraming(paths, compression)
    const indexing = indexingOf(context, 'A layer of weights')
    const entries = arrange(entriesOf(files, folder, target))
    return layerOfLarge(entries, { compression: framing, mtimeSeconds, checks, indexing })
  },
}

async function chooseFraming(paths: readonly string[], compression: Compression): Promise<Framing> {
  const files = await settleAll(paths.map(openFile))
  try {
    return await framingOf(files, compression)
  } finally {
    await Promise.all(files.map((file) => file.close()))
  }
}
