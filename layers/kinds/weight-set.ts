import type { RandomAccess } from '../../src/core/bytes.ts'
import { verify } from '../../src/core/digest.ts'
import { openFile } from '../../src/core/file-access.ts'
import { maskUrl } from '../../src/core/http.ts'
import { localPath } from '../../src/core/project-url.ts'
import type { RemoteFile } from '../../src/core/remote-file.ts'
import { settleAll } from '../../src/core/settle.ts'
import type { Compression, Framing } from '../compress.ts'
import { framingOf } from '../compressible.ts'
import type { LayerContext } from '../context.ts'
import type { Entry } from '../entry.ts'
import { arrange } from '../files.ts'
import { indexingOf, layerOfLarge } from '../threaded-layer.ts'
import type { LayerKind } from './kind.ts'
import { LARGE_WEIGHT_BYTES } from './weight-files.ts'

/** Files of weights by content, from wherever they lie. */
export interface WeightSetLayerSpec {
  readonly kind: 'weight-set'
  /** `path` is that in the image, without a leading slash; `url` is `https:`, `file:` or `project:`. */
  readonly files: readonly (RemoteFile & { readonly path: string })[]
}

/** Files whose samples decide for all of a layer. */
const SAMPLED_FILES = 16

/**
 * Lays files of weights, streamed. Framed as they are unless samples say that compressing is worth its time.
 *
 * Files come through the store, so that a download which is cut goes on where it ended.
 *
 * @throws BuildError DIGEST_MISMATCH, SIZE_MISMATCH for a file that is no longer what was locked
 */
export const weightSetKind: LayerKind<WeightSetLayerSpec> = {
  kind: 'weight-set',
  make: async ({ files }, context) => {
    const { compression = 'gzip', mtimeSeconds, checks } = context
    for (const file of files) await (await open(file, context)).close()
    const framing = await chooseFraming(files.slice(0, SAMPLED_FILES), compression, context)
    const entries = arrange(files.map((file) => entryOf(file, context)))
    const indexing = indexingOf(context, 'A layer of weights')
    const layer = layerOfLarge(entries, { compression: framing, mtimeSeconds, checks, indexing })
    return { ...layer, blob: lettingGo(layer.blob, files, context) }
  },
}

type WeightFile = WeightSetLayerSpec['files'][number]

async function open(file: RemoteFile, context: LayerContext): Promise<RandomAccess> {
  const path = localPath(file.url, context.projectFolder)
  return path === undefined ? context.openRemote(file) : openFile(path)
}

async function chooseFraming(
  files: readonly WeightFile[],
  compression: Compression,
  context: LayerContext,
): Promise<Framing> {
  const opened = await settleAll(files.map((file) => open(file, context)))
  try {
    return await framingOf(opened, compression)
  } finally {
    await Promise.all(opened.map((bytes) => bytes.close()))
  }
}

function entryOf(file: WeightFile, context: LayerContext): Entry {
  const { path, sha256, sizeBytes, url } = file
  const read = async function* (): AsyncGenerator<Uint8Array> {
    const bytes = await open(file, context)
    try {
      yield* bytes.stream(0, bytes.sizeBytes)
    } finally {
      await bytes.close()
    }
  }
  const expected = { digest: `sha256:${sha256}`, size: sizeBytes } as const
  return { kind: 'file', path, mode: 0o644, sizeBytes, open: () => verify(read(), expected, `\`${maskUrl(url)}\``) }
}

/** Lets a large download go when its bytes have gone into the layer. */
async function* lettingGo(
  blob: AsyncIterable<Uint8Array>,
  files: readonly WeightFile[],
  context: LayerContext,
): AsyncGenerator<Uint8Array> {
  yield* blob
  for (const file of files) {
    if (file.sizeBytes >= LARGE_WEIGHT_BYTES && /^https?:/.test(file.url)) await context.releaseRemote?.(file)
  }
}
