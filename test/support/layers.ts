import { gzipSync } from 'node:zlib'
import { OCI } from 'oci-spec-types'
import { pack } from 'tar-stream'
import type { Layer } from '../../layers/layer.ts'
import { collect, openBytes } from '../../src/core/bytes.ts'
import { digestOf } from '../../src/core/digest.ts'

/** What a layer for a test holds: path -> content, or `null` for a directory, or `{ link }` for a symbolic link. */
export type LayerContent = Readonly<Record<string, string | null | { readonly link: string }>>

/** A gzip layer in memory. */
export async function makeLayer(content: LayerContent, createdBy = 'test'): Promise<Layer> {
  const tar = pack()
  const mtime = new Date(0)
  for (const [name, value] of Object.entries(content)) {
    if (value === null) tar.entry({ name, type: 'directory', mtime })
    else if (typeof value === 'string') tar.entry({ name, mode: 0o755, mtime }, value)
    else tar.entry({ name, type: 'symlink', linkname: value.link, mtime })
  }
  tar.finalize()
  const bytes = await collect(tar as AsyncIterable<Uint8Array>, 2 ** 30)
  const blob = gzipSync(bytes)
  return {
    descriptor: { mediaType: OCI.layerGzip, digest: digestOf(blob), size: blob.length },
    diffId: digestOf(bytes),
    open: openBytes(blob),
    createdBy,
  }
}
