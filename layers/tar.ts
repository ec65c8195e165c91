import { BuildError } from '../src/core/errors.ts'
import { readTar as readMembers, type TarMember as Member, type TarReaderOptions } from '../src/core/tar-reader.ts'
import { guardTar } from './tar-guard.ts'

/** One member of a tar that is read. `data` must be read to its end, or let go by going on to the next. */
export interface TarMember {
  /** As written in the archive: it may be unsafe. One character a byte with the option `bytes`. */
  readonly name: string
  readonly type: 'file' | 'directory' | 'symlink' | 'link' | 'character-device' | 'block-device' | 'fifo'
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly sizeBytes: number
  readonly mtimeSeconds: number
  /** Of links; undefined otherwise. */
  readonly target: string | undefined
  readonly deviceMajor: number
  readonly deviceMinor: number
  /** PAX records as they stand in the archive, such as extended attributes. */
  readonly pax: Readonly<Record<string, string>>
  /** Where the data begins in the uncompressed tar, in bytes. */
  readonly offset: number
  readonly data: AsyncIterable<Uint8Array>
}

/**
 * Reads an uncompressed tar of unknown origin: ustar, PAX and GNU long names, guarded against what readers disagree about.
 *
 * @param what names the archive in errors
 * @throws BuildError ARCHIVE_INVALID for an archive that is cut short or that readers would disagree about
 */
export async function* readTar(
  stream: AsyncIterable<Uint8Array>,
  what: string,
  options: TarReaderOptions = {},
): AsyncGenerator<TarMember> {
  for await (const member of explained(readMembers(guardTar(stream, what), options), what)) {
    yield memberOf(member, explained(member.body, what))
  }
}

const TYPES = {
  file: 'file',
  directory: 'directory',
  symlink: 'symlink',
  hardlink: 'link',
  character: 'character-device',
  block: 'block-device',
  fifo: 'fifo',
} as const satisfies Record<Member['type'], TarMember['type']>

function memberOf(member: Member, data: AsyncIterable<Uint8Array>): TarMember {
  const { name, type, mode, uid, gid, sizeBytes, mtimeSeconds, linkName, deviceMajor, deviceMinor, pax, offset } =
    member
  return {
    name,
    type: TYPES[type],
    mode,
    uid,
    gid,
    sizeBytes,
    mtimeSeconds,
    target: type === 'symlink' || type === 'hardlink' ? linkName : undefined,
    deviceMajor,
    deviceMinor,
    pax: Object.fromEntries(pax),
    offset,
    data,
  }
}

// The reader says what is wrong; which archive it is, is known here. Errors of the source pass as they are.
async function* explained<T>(source: AsyncIterable<T>, what: string): AsyncGenerator<T> {
  try {
    yield* source
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new BuildError('ARCHIVE_INVALID', `${what} is not a sound tar archive: ${error.message}`, { cause: error })
  }
}
