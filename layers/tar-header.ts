/** What a tar header says. Paths as in {@link Entry}: relative, without a trailing slash. */
export interface TarHeader {
  readonly type: 'file' | 'directory' | 'symlink' | 'hardlink'
  readonly path: string
  readonly mode: number
  readonly mtimeSeconds: number
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  /** 0 unless it is a file. */
  readonly sizeBytes?: number | undefined
  readonly target?: string | undefined
}

/** Tar works in blocks of this many bytes. */
export const TAR_BLOCK_BYTES = 512

/** Two blocks of zeros end an archive. */
export const TAR_END = Buffer.alloc(2 * TAR_BLOCK_BYTES)

const TYPES = { file: '0', hardlink: '1', symlink: '2', directory: '5' } as const
const MAX_OCTAL_7 = 0o7777777
const MAX_OCTAL_11 = 0o77777777777

/**
 * Encodes one entry's header: a ustar block, after a PAX header where ustar cannot say it (long or non-ASCII names,
 * sizes from 8 GiB, large ids).
 *
 * @returns a multiple of 512 bytes
 * @throws RangeError for a time or mode that tar cannot hold: a mistake of the caller
 * @see POSIX.1-2017, pax, "ustar Interchange Format" and "pax Interchange Format"
 */
export function encodeTarHeader(header: TarHeader): Buffer {
  const pax: [string, string][] = []
  const path = header.type === 'directory' ? `${header.path}/` : header.path
  const name = splitName(path)
  if (name === undefined) pax.push(['path', path])
  const target = header.target ?? ''
  const isShortTarget = isAscii(target) && target.length <= 100
  if (!isShortTarget) pax.push(['linkpath', target])
  const sizeBytes = header.sizeBytes ?? 0
  if (sizeBytes > MAX_OCTAL_11) pax.push(['size', String(sizeBytes)])
  const { uid = 0, gid = 0 } = header
  if (uid > MAX_OCTAL_7) pax.push(['uid', String(uid)])
  if (gid > MAX_OCTAL_7) pax.push(['gid', String(gid)])
  const block = encodeUstar({
    name: name ?? { name: fallbackName(path), prefix: '' },
    type: TYPES[header.type],
    mode: header.mode,
    uid: Math.min(uid, MAX_OCTAL_7),
    gid: Math.min(gid, MAX_OCTAL_7),
    // Readers take the PAX size; the field must merely hold a number.
    sizeBytes: sizeBytes > MAX_OCTAL_11 ? 0 : sizeBytes,
    mtimeSeconds: header.mtimeSeconds,
    target: isShortTarget ? target : fallbackName(target),
  })
  return pax.length === 0 ? block : Buffer.concat([encodePax(pax, header.mtimeSeconds), block])
}

/** Zeros that fill a file's last block. */
export function tarPadding(sizeBytes: number): number {
  return (TAR_BLOCK_BYTES - (sizeBytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES
}

interface Ustar {
  readonly name: { readonly name: string; readonly prefix: string }
  readonly type: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly sizeBytes: number
  readonly mtimeSeconds: number
  readonly target: string
}

function encodeUstar(fields: Ustar): Buffer {
  const block = Buffer.alloc(TAR_BLOCK_BYTES)
  block.write(fields.name.name, 0, 100, 'latin1')
  writeOctal(block, 100, 7, fields.mode & 0o7777)
  writeOctal(block, 108, 7, fields.uid)
  writeOctal(block, 116, 7, fields.gid)
  writeOctal(block, 124, 11, fields.sizeBytes)
  writeOctal(block, 136, 11, fields.mtimeSeconds)
  block.write('        ', 148, 'latin1')
  block.write(fields.type, 156, 'latin1')
  block.write(fields.target, 157, 100, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  writeOctal(block, 329, 7, 0)
  writeOctal(block, 337, 7, 0)
  block.write(fields.name.prefix, 345, 155, 'latin1')
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

function writeOctal(block: Buffer, at: number, digits: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0 || value >= 8 ** digits)
    throw new RangeError(`Not a number that a tar header can hold: ${value}`)
  block.write(value.toString(8).padStart(digits, '0'), at, 'latin1')
}

/** How a path fits into ustar's name (100 bytes) and prefix (155); undefined when it does not. */
function splitName(path: string): Ustar['name'] | undefined {
  if (!isAscii(path)) return undefined
  if (path.length <= 100) return { name: path, prefix: '' }
  // The name must not be empty, so a directory's own last slash is no place to split at.
  const slash = path.lastIndexOf('/', Math.min(155, path.length - 2))
  const name = path.slice(slash + 1)
  return slash > 0 && name.length <= 100 ? { name, prefix: path.slice(0, slash) } : undefined
}

function encodePax(records: readonly (readonly [string, string])[], mtimeSeconds: number): Buffer {
  const body = Buffer.from(records.map(([key, value]) => paxRecord(key, value)).join(''))
  const head = encodeUstar({
    name: { name: '././@PaxHeader', prefix: '' },
    type: 'x',
    mode: 0o644,
    uid: 0,
    gid: 0,
    sizeBytes: body.length,
    mtimeSeconds,
    target: '',
  })
  return Buffer.concat([head, body, Buffer.alloc(tarPadding(body.length))])
}

/** A record starts with its own length in bytes, which counts its own digits. */
function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`)
  let length = rest + String(rest).length
  if (rest + String(length).length !== length) length = rest + String(length).length
  return `${length} ${key}=${value}\n`
}

function fallbackName(path: string): string {
  return path.replace(/[^\x20-\x7e]/g, '_').slice(0, 100)
}

function isAscii(text: string): boolean {
  // oxlint-disable-next-line no-control-regex -- ASCII includes them
  return /^[\x00-\x7f]*$/.test(text)
}
