import { constants, inflateRawSync } from 'node:zlib'
import type { RandomAccess } from '../core/bytes.ts'
import { ByteReader } from '../core/byte-reader.ts'
import { BuildError } from '../core/errors.ts'
import { checkDescriptor, checkLocalHeader, localHeaderBytes, type ZipArchive, type ZipEntry } from './zip.ts'

/** One member while an archive streams by. `data` must be read to its end before the next member is asked for. */
export interface StreamedEntry {
  readonly entry: ZipEntry
  /** The member's compressed bytes, as they lie in the archive. */
  readonly data: AsyncIterable<Uint8Array>
}

/**
 * Streams all members once, in the order of their bytes, comparing each local header and data descriptor with the
 * directory. Content is not inflated here, so neither CRC-32 nor size is proven.
 *
 * @throws BuildError ARCHIVE_INVALID
 */
export async function* streamEntries(source: RandomAccess, archive: ZipArchive): AsyncGenerator<StreamedEntry> {
  const reader = new ByteReader(source.stream(0, archive.directoryOffset, { reuse: true }))
  try {
    for (const entry of archive.entries) {
      const start = await reader.take(30)
      const headerBytes = localHeaderBytes(start, entry, archive.what)
      const rest = await reader.take(headerBytes - start.length)
      checkLocalHeader(Buffer.concat([start, rest]), entry, archive.what)
      yield { entry, data: reader.pass(entry.compressedBytes) }
      const after = entry.endOffset - entry.offset - headerBytes - entry.compressedBytes
      // A descriptor has at most 24 bytes; more is refused without being read into memory.
      checkDescriptor(await reader.take(Math.min(after, 25)), entry, archive.what)
    }
    // A source that proves itself does so at its end.
    await reader.isAtEnd()
  } finally {
    await reader.close()
  }
}

/** The most that deflate data can need before it gives its first bytes: its block's Huffman tables, and some. */
const PROBE_BYTES = 4096

/**
 * The first bytes of a member, fewer only when it is shorter. Nothing is proven.
 *
 * @throws BuildError ARCHIVE_INVALID when the start cannot be inflated
 */
export async function readStart(
  source: RandomAccess,
  archive: ZipArchive,
  entry: ZipEntry,
  length: number,
): Promise<Buffer> {
  const start = Buffer.from(await source.read(entry.offset, 30))
  const dataOffset = entry.offset + localHeaderBytes(start, entry, archive.what)
  const data = await source.read(dataOffset, Math.min(entry.compressedBytes, PROBE_BYTES))
  if (entry.method === 'stored') return Buffer.from(data.subarray(0, length))
  try {
    return inflateRawSync(data, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, length)
  } catch (cause) {
    throw new BuildError('ARCHIVE_INVALID', `${archive.what}: \`${entry.name}\` cannot be inflated`, { cause })
  }
}
