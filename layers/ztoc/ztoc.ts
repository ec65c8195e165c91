import type { Gunzip } from '../inflate/gunzip.ts'
import { GzipReader } from '../inflate/gzip-reader.ts'
import { TarGuard } from '../tar-guard.ts'
import { readTarHead } from '../tar-members.ts'
import { SpanRecorder } from './spans.ts'
import { Spill, type ZtocParts } from './spill.ts'
import { ZtocWriter } from './ztoc-writer.ts'

/** Part of what names a ztoc: another layout of ours would need another number. */
export const ZTOC_VERSION = 2

/** Content between two places at which reading can begin; what SOCI itself takes. */
export const SPAN_BYTES = 4 * 2 ** 20

/** Inflates a layer, and makes its table on the way. */
export interface IndexingGunzip extends Gunzip {
  /** Once, after `end`. */
  ztoc(): ZtocParts
}

/**
 * Makes the table of contents of a gzip layer by which a lazy snapshotter reads files before the layer is pulled, while the layer
 * is inflated.
 *
 * It holds every file's place in the tar, and every 4 MiB a checkpoint: bit position in the gzip file and the 32 KiB of
 * content before it, so that inflating can begin there. The layer itself stays as it is. What is held meanwhile is the table,
 * some 0.8 % of the tar, or a few megabytes of it where the rest can be spilled. Ask `canInflateRaw` first.
 *
 * @param data hears what was inflated, in order; the memory is used again once it returns
 * @param what names the layer in errors
 * @param spillFolder  a folder for temporary files, where there is one
 * @throws InflateError, BuildError ARCHIVE_INVALID for a layer that is damaged; its gzip headers must be plain, as this program
 *   writes them
 * @see SOCI snapshotter, ztoc version 0.9
 */
export function openIndexingGunzip(data: (chunk: Buffer) => void, what: string, spillFolder?: string): IndexingGunzip {
  const writer = new ZtocWriter()
  const spill = spillFolder === undefined ? undefined : new Spill(spillFolder)
  const spans = new SpanRecorder(SPAN_BYTES, spill)
  const guard = new TarGuard(what, (head) => writer.addMember(readTarHead(head)))
  let tarBytes = 0
  const hear = (chunk: Buffer): void => {
    data(chunk)
    guard.push(chunk)
    tarBytes += chunk.length
  }
  const checkpoint = spans.begin.bind(spans)
  const reader = new GzipReader({ data: hear, checkpoint }, { spanBytes: SPAN_BYTES })
  return {
    write: async (chunk) => {
      spans.hold(chunk)
      reader.write(chunk)
      spans.letGo(reader.readBytes())
    },
    end: async () => {
      reader.end()
      guard.end()
    },
    ztoc: () => writer.finish({ ...spans.finish(), tarBytes }),
    close: () => spill?.close(),
  }
}
