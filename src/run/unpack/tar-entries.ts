import { readTar, type TarMember } from '../../../layers/tar.ts'
import { BuildError } from '../../core/errors.ts'

/**
 * A path as the bytes it has in the archive, one character a byte (latin1), so that names that are no UTF-8 survive.
 */
export type BytePath = string

/** One entry of a tar as it lies there: nothing about its path is trusted yet. */
export interface TarEntry {
  readonly kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo' | 'device'
  readonly path: BytePath
  /** Of links; empty for everything else. */
  readonly target: BytePath
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Between 0 and the year 2514; what lies outside is moved to the nearer end. */
  readonly mtimeSeconds: number
  readonly sizeBytes: number
  /** Extended attributes by name; values that are no UTF-8 are damaged. */
  readonly xattrs: Readonly<Record<string, string>>
  /** Of device nodes. */
  readonly device: { readonly major: number; readonly minor: number }
  /** Where the data begins in the uncompressed tar, in bytes. */
  readonly offset: number
  /** The data of a file; read it to its end before asking for the next entry. */
  readonly body: AsyncIterable<Uint8Array>
}

const XATTR = 'SCHILY.xattr.'
const MAX_MTIME_SECONDS = 2 ** 34

/**
 * Reads the entries of an uncompressed tar, in its order.
 *
 * @throws BuildError ARCHIVE_INVALID for anything malformed or ambiguous
 */
export async function* readEntries(stream: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  for await (const member of readTar(stream, 'The layer', { names: 'bytes' })) yield fromMember(member)
}

const KINDS: Readonly<Record<TarMember['type'], TarEntry['kind']>> = {
  file: 'file',
  'contiguous-file': 'file',
  directory: 'directory',
  symlink: 'symlink',
  link: 'hardlink',
  fifo: 'fifo',
  'character-device': 'device',
  'block-device': 'device',
}

function fromMember({ pax, name: path, target = '', ...member }: TarMember): TarEntry {
  if (path.includes('\0') || target.includes('\0')) {
    throw new BuildError('ARCHIVE_INVALID', `The tar holds a name with a zero byte: ${printable(path)}`)
  }
  return {
    kind: KINDS[member.type],
    path,
    target,
    mode: member.mode & 0o7777,
    uid: id(pax['uid'], member.uid, path),
    gid: id(pax['gid'], member.gid, path),
    mtimeSeconds: seconds(pax['mtime'], member.mtimeSeconds),
    sizeBytes: member.sizeBytes,
    xattrs: Object.fromEntries(
      Object.entries(pax).flatMap(([key, value]) => (key.startsWith(XATTR) ? [[key.slice(XATTR.length), value]] : [])),
    ),
    device: { major: member.deviceMajor, minor: member.deviceMinor },
    offset: member.offset,
    body: member.data,
  }
}

/** Uids and gids are 32 bits wide; a larger one would wrap round to somebody else, root included (CVE-2024-40635). */
function id(fromPax: string | undefined, fromHeader: number, path: BytePath): number {
  const value = fromPax === undefined ? fromHeader : Number(fromPax)
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32 - 1) {
    throw new BuildError('ARCHIVE_INVALID', `An owner out of range, ${String(fromPax ?? value)}: ${printable(path)}`)
  }
  return value
}

function seconds(fromPax: string | undefined, fromHeader: number): number {
  const value = fromPax === undefined ? fromHeader : Number(fromPax)
  return Number.isNaN(value) ? 0 : Math.min(Math.max(value, 0), MAX_MTIME_SECONDS)
}

/** A byte path as text for messages, shortened. */
export function printable(path: BytePath): string {
  const text = Buffer.from(path, 'latin1').toString('utf8')
  const short = text.length > 200 ? `${text.slice(0, 200)}...` : text
  return `\`${[...short].map((character) => (character < ' ' || character === '\x7f' ? '?' : character)).join('')}\``
}
