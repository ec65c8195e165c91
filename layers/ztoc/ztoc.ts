import { openQuickGzip, type QuickGzip } from '../deflate/quick-gzip.ts'
import type { Gunzip, Hear } from '../inflate/gunzip.ts'
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
 * @param data hears what was inflated, in order; as of `openGunzip`
 * @param what names the layer in errors
 * @param spillFolder  a folder for temporary files, where there is one
 * @throws InflateError, BuildError ARCHIVE_INVALID for a layer that is damaged; its gzip headers must be plain, as this program
 *   writes them
 * @see SOCI snapshotter, ztoc version 0.9
 */
export function openIndexingGunzip(data: Hear, what: string, spillFolder?: string): IndexingGunzip {
  const table = new Table(what, spillFolder)
  const { spans } = table
  const hear = (chunk: Buffer): Promise<void> | void => {
    const heard = data(chunk)
    table.pass(chunk)
    return heard
  }
  const checkpoint = spans.begin.bind(spans)
  const reader = new GzipReader({ data: hear, checkpoint }, { spanBytes: SPAN_BYTES })
  return {
    write: async (chunk) => {
      spans.hold(chunk)
      for (const heard of reader.write(chunk)) await heard
      spans.letGo(reader.readBytes())
    },
    end: async () => {
      for (const heard of reader.end()) await heard
      table.end()
    },
    ztoc: () => table.finish(),
    close: () => table.close(),
  }
}

/** Compresses a layer, and makes its table on the way. */
export interface IndexingGzip extends QuickGzip {
  /** Once, after `end`. */
  ztoc(): ZtocParts
  /** Gives up. May be called at any time. */
  close(): void
}

/**
 * Makes the same table as {@link openIndexingGunzip} while a layer is compressed: what compresses it knows where blocks begin.
 *
 * @throws BuildError ARCHIVE_INVALID for what is no sound tar
 */
export function openIndexingGzip(what: string, spillFolder?: string): IndexingGzip {
  const table = new Table(what, spillFolder)
  const { spans } = table
  const gzip = openQuickGzip({
    spanBytes: SPAN_BYTES,
    made: (bytes, checkpoints) => {
      spans.hold(bytes)
      for (const checkpoint of checkpoints) spans.begin(checkpoint)
      spans.letGo(Infinity)
    },
  })
  return {
    ...gzip,
    write: (chunk) => {
      table.pass(chunk)
      gzip.write(chunk)
    },
    end: () => {
      table.end()
      gzip.end()
    },
    ztoc: () => table.finish(),
    close: () => table.close(),
  }
}

/** What becomes the table of one layer. */
class Table {
  readonly spans: SpanRecorder
  readonly #writer = new ZtocWriter()
  readonly #spill: Spill | undefined
  readonly #guard: TarGuard
  #tarBytes = 0

  constructor(what: string, spillFolder: string | undefined) {
    this.#spill = spillFolder === undefined ? undefined : new Spill(spillFolder)
    this.spans = new SpanRecorder(SPAN_BYTES, this.#spill)
    this.#guard = new TarGuard(what, (head) => this.#writer.addMember(readTarHead(head)))
  }

  /** Takes the layer's tar, in order. */
  pass(chunk: Uint8Array): void {
    this.#guard.push(chunk)
    this.#tarBytes += chunk.length
  }

  end(): void {
    this.#guard.end()
  }

  finish(): ZtocParts {
    return this.#writer.finish({ ...this.spans.finish(), tarBytes: this.#tarBytes })
  }

  close(): void {
    this.#spill?.close()
  }
}
