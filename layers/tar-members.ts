import { extensionData, paxRecords, readNumber, type TarHead } from './tar-guard.ts'

/** What a member is. */
export type TarMemberType =
  | 'file'
  | 'link'
  | 'symlink'
  | 'character-device'
  | 'block-device'
  | 'directory'
  | 'fifo'
  | 'contiguous-file'

/** A member without its data. */
export interface TarMemberHead {
  /** As written in the archive: it may be unsafe. One character a byte where names are read as bytes. */
  readonly name: string
  readonly type: TarMemberType
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
}

const TYPES: Readonly<Record<string, TarMemberType>> = {
  '0': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
  '7': 'contiguous-file',
}

/**
 * Reads what a header says, as `readTar` does, where the archive passes by in pieces.
 *
 * @see POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar, "Extensions to tar format" (long names)
 */
export function readTarHead({ block, extensions, offset }: TarHead): TarMemberHead {
  const pax: Record<string, string> = {}
  let [longName, longTarget]: (string | undefined)[] = []
  for (const bytes of extensions) {
    const data = extensionData(bytes, offset)
    const type = String.fromCharCode(bytes[156] ?? 0)
    if (type === 'L') longName = text(data)
    else if (type === 'K') longTarget = text(data)
    else for (const [key, value] of paxRecords(data, offset)) pax[key] = value
  }
  const number = (at: number, length = 8): number => readNumber(block, at, length, offset, 'number')
  const name = pax['path'] ?? longName ?? ustarName(block)
  const flag = String.fromCharCode(block[156] ?? 0)
  // Old archives mark folders by their names alone.
  const type = flag === '\0' ? (name.endsWith('/') ? 'directory' : 'file') : (TYPES[flag] ?? 'file')
  return {
    name,
    type,
    mode: number(100),
    uid: tarId(pax['uid'], number(108)),
    gid: tarId(pax['gid'], number(116)),
    sizeBytes: pax['size'] === undefined ? number(124, 12) : Number(pax['size']),
    mtimeSeconds: number(136, 12),
    target: pax['linkpath'] ?? longTarget ?? (block[157] === 0 ? undefined : text(block.subarray(157, 257))),
    deviceMajor: number(329),
    deviceMinor: number(337),
    pax,
    offset,
  }
}

/** An owner by number: a PAX record is believed where it is one. */
export function tarId(pax: string | undefined, ustar: number): number {
  return pax !== undefined && /^[0-9]{1,10}$/.test(pax) ? Number(pax) : ustar
}

function ustarName(block: Buffer): string {
  const name = text(block.subarray(0, 100))
  const isUstar = block.toString('latin1', 257, 263) === 'ustar\0'
  return isUstar && block[345] !== 0 ? `${text(block.subarray(345, 500))}/${name}` : name
}

function text(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end)
}
