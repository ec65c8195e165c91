/** What one tar header says, with pax and GNU long names applied. */
export interface TarHeader {
  /** As it stands in the archive. */
  readonly name: string
  readonly type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'character' | 'block' | 'fifo'
  /** Target of a link, as it stands in the archive; '' for others. */
  readonly linkName: string
  /** 0 for all but files. */
  readonly sizeBytes: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly userName: string
  readonly groupName: string
  readonly mtimeSeconds: number
  /** Of device nodes; 0 otherwise. */
  readonly deviceMajor: number
  readonly deviceMinor: number
}

/** A header with its bytes; what is not read of `body` is skipped when the next member is asked for. */
export interface TarMember extends TarHeader {
  /** PAX records as they stand before the member, such as extended attributes. */
  readonly pax: ReadonlyMap<string, string>
  /** Where the body begins in the archive, in bytes. */
  readonly offset: number
  readonly body: AsyncIterable<Uint8Array>
}

/** How an archive is read. */
export interface TarReaderOptions {
  /** Names and targets as bytes, one character each (latin1), so that names that are no UTF-8 survive; text unless given. */
  readonly names?: 'text' | 'bytes' | undefined
}

const BLOCK = 512
const MAX_EXTENSION_BYTES = 1 << 20

/**
 * Reads a tar archive member by member, holding one chunk in memory. The source may use a chunk's memory again when the next
 * is asked for; whoever reads a body is bound by that.
 *
 * @throws RangeError for a wrong checksum, a cut-off archive, sparse files, unknown member types and oversized headers
 * @see POSIX.1-2001 pax; GNU tar `././@LongLink`
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  { names = 'text' }: TarReaderOptions = {},
): AsyncGenerator<TarMember> {
  const encoding = names === 'bytes' ? 'latin1' : 'utf8'
  // PAX names are UTF-8 whatever the others are.
  const named = (text: string | undefined): string | undefined =>
    text === undefined || names === 'text' ? text : Buffer.from(text).toString('latin1')
  const reader = new ByteReader(source)
  try {
    let pax: ReadonlyMap<string, string> = new Map()
    let longName: string | undefined
    let longLink: string | undefined
    for (;;) {
      const block = await reader.take(BLOCK)
      if (block === undefined || isZero(block)) return await reader.drain()
      const raw = parseHeader(block, encoding)
      if (raw.flag === 'x' || raw.flag === 'g' || raw.flag === 'L' || raw.flag === 'K') {
        if (raw.sizeBytes > MAX_EXTENSION_BYTES) throw new RangeError(`A tar header of ${raw.sizeBytes} bytes`)
        const content = await reader.exactly(raw.sizeBytes)
        await reader.skip(padding(raw.sizeBytes))
        if (raw.flag === 'x') pax = parsePax(content)
        else if (raw.flag === 'L') longName = cString(content, encoding)
        else if (raw.flag === 'K') longLink = cString(content, encoding)
        continue
      }
      if ([...pax.keys()].some((key) => key.startsWith('GNU.sparse'))) throw new RangeError('A sparse file in tar')
      const name = named(pax.get('path')) ?? longName ?? raw.name
      const type = typeOf(raw.flag, name)
      const sizeBytes = type === 'file' ? paxNumber(pax, 'size', raw.sizeBytes) : 0
      const body = reader.body(sizeBytes)
      yield {
        name,
        linkName: named(pax.get('linkpath')) ?? longLink ?? raw.linkName,
        type,
        sizeBytes,
        mode: raw.mode,
        uid: paxNumber(pax, 'uid', raw.uid),
        gid: paxNumber(pax, 'gid', raw.gid),
        userName: pax.get('uname') ?? raw.userName,
        groupName: pax.get('gname') ?? raw.groupName,
        mtimeSeconds: raw.mtimeSeconds,
        deviceMajor: raw.deviceMajor,
        deviceMinor: raw.deviceMinor,
        pax,
        offset: reader.offset,
        body: body.chunks,
      }
      await body.finish()
      await reader.skip(padding(sizeBytes))
      pax = new Map()
      longName = longLink = undefined
    }
  } finally {
    await reader.close()
  }
}

function padding(sizeBytes: number): number {
  return (BLOCK - (sizeBytes % BLOCK)) % BLOCK
}

function typeOf(flag: string, name: string): TarHeader['type'] {
  switch (flag) {
    case '0':
    case '\0':
    case '7':
      // Before ustar, a directory was a file whose name ends with a slash.
      return name.endsWith('/') ? 'directory' : 'file'
    case '1':
      return 'hardlink'
    case '2':
      return 'symlink'
    case '3':
      return 'character'
    case '4':
      return 'block'
    case '5':
      return 'directory'
    case '6':
      return 'fifo'
    default:
      throw new RangeError(`A tar member of unknown type: ${JSON.stringify(flag)}`)
  }
}

interface RawHeader extends Omit<TarHeader, 'type'> {
  readonly flag: string
}

function parseHeader(block: Buffer, encoding: 'utf8' | 'latin1'): RawHeader {
  let sum = 0
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : (block[i] ?? 0)
  if (number(block, 148, 8) !== sum) throw new RangeError('A tar header with a wrong checksum')
  const isUstar = block.toString('latin1', 257, 263) === 'ustar\0'
  const prefix = isUstar ? cString(block.subarray(345, 500), encoding) : ''
  const name = cString(block.subarray(0, 100), encoding)
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    sizeBytes: number(block, 124, 12),
    // A time before 1970 is written as a negative number of base 256.
    mtimeSeconds: block[136] === 0xff ? -1 : number(block, 136, 12),
    flag: block.toString('latin1', 156, 157),
    linkName: cString(block.subarray(157, 257), encoding),
    deviceMajor: isUstar ? number(block, 329, 8) : 0,
    deviceMinor: isUstar ? number(block, 337, 8) : 0,
    userName: cString(block.subarray(265, 297)),
    groupName: cString(block.subarray(297, 329)),
  }
}

// Octal digits, or base 256 when the top bit is set (GNU).
function number(block: Buffer, offset: number, length: number): number {
  const first = block[offset] ?? 0
  if (first === 0x80) {
    let value = 0
    for (let i = offset + 1; i < offset + length; i++) value = value * 256 + (block[i] ?? 0)
    if (!Number.isSafeInteger(value)) throw new RangeError('A number in a tar header is too large')
    return value
  }
  const digits = block
    .toString('latin1', offset, offset + length)
    .replace(/[\0 ]+$/, '')
    .trimStart()
  if (digits === '') return 0
  if (!/^[0-7]+$/.test(digits)) throw new RangeError('A number in a tar header is not octal')
  return Number.parseInt(digits, 8)
}

function cString(bytes: Buffer, encoding: 'utf8' | 'latin1' = 'utf8'): string {
  const end = bytes.indexOf(0)
  return bytes.toString(encoding, 0, end === -1 ? bytes.length : end)
}

function parsePax(content: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>()
  let offset = 0
  while (offset < content.length) {
    const space = content.indexOf(32, offset)
    const length = Number(content.toString('latin1', offset, space))
    const record = content.subarray(space + 1, offset + length)
    const equals = record.indexOf(61)
    const fits = space > offset && Number.isInteger(length) && offset + length <= content.length && record.at(-1) === 10
    if (!fits || equals < 1) throw new RangeError('A damaged pax header')
    records.set(record.toString('utf8', 0, equals), record.toString('utf8', equals + 1, record.length - 1))
    offset += length
  }
  return records
}

function paxNumber(pax: ReadonlyMap<string, string>, key: string, otherwise: number): number {
  const text = pax.get(key)
  if (text === undefined) return otherwise
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new RangeError(
      `A pax header with ${key === 'size' ? 'a size' : 'an owner'} that is no number: ${key}=${text.slice(0, 40)}`,
    )
  }
  return value
}

function isZero(block: Buffer): boolean {
  return block.every((byte) => byte === 0)
}

/** Takes exact amounts from a stream of chunks. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>
  #chunk: Buffer = Buffer.alloc(0)
  /** Bytes taken so far. */
  offset = 0

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** Up to `limit` bytes, at least one; undefined at the end. */
  async some(limit: number): Promise<Buffer | undefined> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next()
      if (next.done === true) return undefined
      this.#chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
    }
    const part = this.#chunk.subarray(0, limit)
    this.#chunk = this.#chunk.subarray(part.length)
    this.offset += part.length
    return part
  }

  /** Exactly `length` bytes; undefined when the stream has ended before the first. */
  async take(length: number): Promise<Buffer | undefined> {
    const first = await this.some(length)
    if (first === undefined || first.length === length) return first
    return Buffer.concat([Buffer.from(first), await this.exactly(length - first.length)])
  }

  async exactly(length: number): Promise<Buffer> {
    const parts: Buffer[] = []
    for (let missing = length; missing > 0;) {
      const part = await this.some(missing)
      if (part === undefined) throw new RangeError('The tar archive is cut off')
      missing -= part.length
      // Its memory may be used again when the next chunk is asked for.
      parts.push(Buffer.from(part))
    }
    return Buffer.concat(parts)
  }

  async skip(length: number): Promise<void> {
    for (let missing = length; missing > 0;) {
      const part = await this.some(missing)
      if (part === undefined) throw new RangeError('The tar archive is cut off')
      missing -= part.length
    }
  }

  /** The next `length` bytes as a stream, and a way to skip what was not read of them. */
  body(length: number): { readonly chunks: AsyncIterable<Uint8Array>; finish(): Promise<void> } {
    let missing = length
    const next = async (): Promise<Buffer | undefined> => {
      if (missing === 0) return undefined
      const part = await this.some(missing)
      if (part === undefined) throw new RangeError('The tar archive is cut off')
      missing -= part.length
      return part
    }
    async function* chunks(): AsyncGenerator<Uint8Array> {
      for (let part = await next(); part !== undefined; part = await next()) yield part
    }
    return {
      chunks: { [Symbol.asyncIterator]: chunks },
      finish: async () => {
        await this.skip(missing)
        missing = 0
      },
    }
  }

  /** Reads what follows the archive, so that the stream's own checks at its end are made. */
  async drain(): Promise<void> {
    while ((await this.some(1 << 20)) !== undefined) continue
  }

  async close(): Promise<void> {
    await this.#source.return?.()
  }
}
