import { Readable } from 'node:stream'
import { extract, type Header } from 'tar-stream'
import { BuildError } from '../../core/errors.ts'
import { guardTar } from './tar-guard.ts'

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

/** One character a byte: names need not be UTF-8. (tar-stream has this option, its types do not.) */
const OPTIONS = { filenameEncoding: 'latin1' } as Parameters<typeof extract>[0]

const XATTR = 'SCHILY.xattr.'
const MAX_MTIME_SECONDS = 2 ** 34

/**
 * Reads the entries of an uncompressed tar, in its order.
 *
 * @throws BuildError ARCHIVE_INVALID for anything malformed or ambiguous (see {@link guardTar})
 */
export async function* readTar(stream: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const parser = extract(OPTIONS)
  const source = Readable.from(guardTar(stream), { objectMode: false })
  source.on('error', (error) => parser.destroy(error))
  parser.on('close', () => source.destroy())
  source.pipe(parser)
  try {
    for await (const entry of parser) yield fromHeader(entry.header, entry as AsyncIterable<Uint8Array>)
  } catch (error) {
    throw error instanceof BuildError || !isParserError(error)
      ? error
      : new BuildError('ARCHIVE_INVALID', `The tar cannot be read: ${error.message}`, { cause: error })
  } finally {
    parser.destroy()
    source.destroy()
  }
}

function isParserError(error: unknown): error is Error {
  return error instanceof Error && !('code' in error) && error.name === 'Error'
}

const KINDS: Readonly<Record<string, TarEntry['kind']>> = {
  file: 'file',
  'contiguous-file': 'file',
  directory: 'directory',
  symlink: 'symlink',
  link: 'hardlink',
  fifo: 'fifo',
  'character-device': 'device',
  'block-device': 'device',
}

function fromHeader(header: Header, body: AsyncIterable<Uint8Array>): TarEntry {
  const pax = (header.pax ?? {}) as Readonly<Record<string, string>>
  const kind = KINDS[header.type]
  if (kind === undefined) throw new BuildError('ARCHIVE_INVALID', `The tar holds an entry of the type ${header.type}`)
  const path = pax['path'] ? utf8Bytes(pax['path']) : header.name
  const target = pax['linkpath'] ? utf8Bytes(pax['linkpath']) : ((header.linkname as string | null) ?? '')
  if (path.includes('\0') || target.includes('\0')) {
    throw new BuildError('ARCHIVE_INVALID', `The tar holds a name with a zero byte: ${printable(path)}`)
  }
  return {
    kind,
    path,
    target,
    mode: header.mode & 0o7777,
    uid: id(pax['uid'], header.uid, path),
    gid: id(pax['gid'], header.gid, path),
    mtimeSeconds: seconds(pax['mtime'], header.mtime),
    sizeBytes: header.size,
    xattrs: Object.fromEntries(
      Object.entries(pax).flatMap(([key, value]) => (key.startsWith(XATTR) ? [[key.slice(XATTR.length), value]] : [])),
    ),
    device: { major: header.devmajor, minor: header.devminor },
    offset: (header as { readonly byteOffset?: number }).byteOffset ?? 0,
    body,
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

function seconds(fromPax: string | undefined, fromHeader: Date): number {
  const value = fromPax === undefined ? fromHeader.getTime() / 1000 : Number(fromPax)
  return Number.isNaN(value) ? 0 : Math.min(Math.max(value, 0), MAX_MTIME_SECONDS)
}

function utf8Bytes(text: string): BytePath {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** A byte path as text for messages, shortened. */
export function printable(path: BytePath): string {
  const text = Buffer.from(path, 'latin1').toString('utf8')
  const short = text.length > 200 ? `${text.slice(0, 200)}...` : text
  return `\`${[...short].map((character) => (character < ' ' || character === '\x7f' ? '?' : character)).join('')}\``
}
