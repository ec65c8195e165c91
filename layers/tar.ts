import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { extract, type Header } from 'tar-stream'
import { BuildError } from '../src/core/errors.ts'
import { guardTar } from './tar-guard.ts'
import { tarId, type TarMemberHead } from './tar-members.ts'

/** One member of a tar that is read. `data` must be read to its end, or let go by going on to the next. */
export interface TarMember extends TarMemberHead {
  readonly data: AsyncIterable<Uint8Array>
}

/** How names are read. */
export interface ReadTarOptions {
  /** Names and targets as bytes, one character each (latin1), so that names that are no UTF-8 survive. */
  readonly names?: 'text' | 'bytes' | undefined
}

/**
 * Reads an uncompressed tar: ustar, PAX and GNU long names. The one door to tar-stream.
 *
 * @param what names the archive in errors
 * @throws BuildError ARCHIVE_INVALID for an archive that is cut short or that readers would disagree about
 */
export async function* readTar(
  stream: AsyncIterable<Uint8Array>,
  what: string,
  options: ReadTarOptions = {},
): AsyncGenerator<TarMember> {
  const isBytes = options.names === 'bytes'
  // The parser has this option, its types do not.
  const parser = extract({ filenameEncoding: isBytes ? 'latin1' : 'utf8' } as Parameters<typeof extract>[0])
  let failure: unknown
  const guarded = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* guardTar(stream, what)
    } catch (error) {
      failure = error
      throw error
    }
  }
  const feeding = pipeline(Readable.from(guarded(), { objectMode: false }), parser)
  // Seen below: the parser is destroyed with the same error.
  feeding.catch(() => {})
  try {
    for await (const entry of parser) {
      yield memberOf(entry.header as Header & TarExtras, entry as unknown as AsyncIterable<Uint8Array>, isBytes)
      // Whatever the caller left unread keeps the parser from going on.
      entry.resume()
    }
    await feeding
  } catch (error) {
    // The parser's own errors say nothing of what was read; those of the caller and the source pass as they are.
    if (failure !== undefined) throw failure
    if (parser.destroyed && isParserError(error))
      throw new BuildError('ARCHIVE_INVALID', `${what} is not a sound tar archive: ${error.message}`, { cause: error })
    throw error
  } finally {
    parser.destroy()
  }
}

/** What the parser gives and its types do not know. */
interface TarExtras {
  readonly pax?: Readonly<Record<string, string>> | null | undefined
  readonly byteOffset?: number
}

function memberOf(header: Header & TarExtras, data: AsyncIterable<Uint8Array>, isBytes: boolean): TarMember {
  // PAX names are UTF-8 whatever the parser was told.
  const name = (fromPax: string | undefined, own: string | null): string | undefined =>
    fromPax && isBytes ? Buffer.from(fromPax).toString('latin1') : (own ?? undefined)
  return {
    name: name(header.pax?.['path'], header.name) ?? '',
    type: header.type ?? 'file',
    mode: header.mode ?? 0o644,
    // The parser leaves these PAX records to its caller.
    uid: tarId(header.pax?.['uid'], header.uid ?? 0),
    gid: tarId(header.pax?.['gid'], header.gid ?? 0),
    sizeBytes: header.size ?? 0,
    mtimeSeconds: Math.floor((header.mtime?.getTime() ?? 0) / 1000),
    target: name(header.pax?.['linkpath'], header.linkname),
    deviceMajor: header.devmajor ?? 0,
    deviceMinor: header.devminor ?? 0,
    pax: header.pax ?? {},
    offset: header.byteOffset ?? 0,
    data,
  }
}

/** tar-stream throws plain errors without a code. */
function isParserError(error: unknown): error is Error {
  return error instanceof Error && error.constructor === Error && !('code' in error)
}
