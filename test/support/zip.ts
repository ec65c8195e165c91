import { crc32, deflateRawSync } from 'node:zlib'
import type { RandomAccess } from '../../src/core/bytes.ts'

/** What the headers of a member may be made to say instead of the truth. */
export interface HeaderLies {
  readonly name?: string | Buffer
  readonly flags?: number
  readonly method?: number
  readonly crc32?: number
  readonly compressedBytes?: number
  readonly sizeBytes?: number
  readonly extra?: Buffer
}

/** A member of a zip archive that a test makes. */
export interface ZipMember {
  readonly name: string
  readonly content?: string | Buffer
  readonly method?: 'stored' | 'deflate'
  /** Unix mode with its type bits; 0o100644 unless given. */
  readonly mode?: number
  /** 3 (Unix) unless given; 0 is DOS, which knows no modes. */
  readonly host?: number
  /** Sizes and CRC-32 stand after the data, and zeros before it. */
  readonly descriptor?: 'short' | 'signed' | 'long' | 'long-signed' | Buffer
  /** 64-bit sizes in the extra fields. */
  readonly zip64?: boolean
  readonly central?: HeaderLies & { readonly offset?: number; readonly disk?: number }
  readonly local?: HeaderLies
  /** Compressed bytes to use instead of the content's. */
  readonly data?: Buffer
  /** Bytes between this member and the next. */
  readonly after?: Buffer
}

/** What the end of an archive may be made to say. */
export interface ZipEnd {
  readonly count?: number
  readonly directoryBytes?: number
  readonly directoryOffset?: number
  readonly comment?: Buffer
  readonly zip64?:
    | boolean
    | {
        readonly count?: number
        readonly directoryOffset?: number
        readonly recordBytes?: number
        readonly recordOffset?: number
        readonly after?: Buffer
      }
  /** Bytes before the first member, which offsets do not count. */
  readonly before?: Buffer
  /** Bytes after the end record. */
  readonly trailing?: Buffer
}

/** Makes a zip archive, sound unless it is told to lie. */
export function makeZip(members: readonly ZipMember[], end: ZipEnd = {}): Buffer {
  const body: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const member of members) {
    const parts = memberParts(member, offset)
    body.push(...parts.local)
    directory.push(parts.central)
    offset += parts.local.reduce((sum, { length }) => sum + length, 0)
  }
  const central = Buffer.concat(directory)
  return Buffer.concat([
    end.before ?? Buffer.alloc(0),
    ...body,
    central,
    endRecords(members.length, offset, central.length, end),
    end.trailing ?? Buffer.alloc(0),
  ])
}

/** Random access to bytes in memory that counts how it is used. */
export function bytesAccess(bytes: Uint8Array): RandomAccess & { readonly reads: number } {
  let reads = 0
  const read = async (offset: number, length: number): Promise<Buffer> => {
    reads++
    if (offset < 0 || offset + length > bytes.length) throw new RangeError('Read past the end')
    return Buffer.from(bytes.subarray(offset, offset + length))
  }
  return {
    sizeBytes: bytes.length,
    read,
    async *stream(offset, length) {
      for (let done = 0; done < length; done += 1000) yield await read(offset + done, Math.min(1000, length - done))
    },
    close: async () => {},
    get reads() {
      return reads
    },
  }
}

function memberParts(member: ZipMember, offset: number): { local: Buffer[]; central: Buffer } {
  const content = Buffer.from(member.content ?? '')
  const method = member.method ?? (member.name.endsWith('/') ? 'stored' : 'deflate')
  const data = member.data ?? (method === 'deflate' ? deflateRawSync(content) : content)
  const truth = {
    name: member.name,
    flags: (/[^\x20-\x7e]/.test(member.name) ? 0x800 : 0) | (member.descriptor === undefined ? 0 : 8),
    method: method === 'deflate' ? 8 : 0,
    crc32: crc32(content),
    compressedBytes: data.length,
    sizeBytes: content.length,
  }
  const unknown = member.descriptor === undefined ? {} : { crc32: 0, compressedBytes: 0, sizeBytes: 0 }
  const local = fixedFields({ ...truth, ...unknown, ...member.local }, member.zip64 === true)
  const central = fixedFields({ ...truth, ...member.central }, member.zip64 === true)
  const localHeader = Buffer.concat([
    Buffer.from('PK\x03\x04', 'latin1'),
    short(20),
    local.fields,
    short(local.name.length),
    short(local.extra.length),
    local.name,
    local.extra,
  ])
  const type = member.name.endsWith('/') ? 0o040755 : 0o100644
  const centralHeader = Buffer.concat([
    Buffer.from('PK\x01\x02', 'latin1'),
    Buffer.from([20, member.host ?? 3]),
    short(20),
    central.fields,
    short(central.name.length),
    short(central.extra.length),
    short(0),
    short(member.central?.disk ?? 0),
    short(0),
    long(((member.mode ?? type) << 16) >>> 0),
    long(member.central?.offset ?? offset),
    central.name,
    central.extra,
  ])
  return {
    local: [localHeader, data, descriptorOf(member, truth), member.after ?? Buffer.alloc(0)],
    central: centralHeader,
  }
}

function fixedFields(
  says: Required<Omit<HeaderLies, 'extra'>> & Pick<HeaderLies, 'extra'>,
  isZip64: boolean,
): { fields: Buffer; name: Buffer; extra: Buffer } {
  const sizes = Buffer.concat([big(says.sizeBytes), big(says.compressedBytes)])
  return {
    fields: Buffer.concat([
      short(says.flags),
      short(says.method),
      long(0),
      long(says.crc32),
      long(isZip64 ? 0xffffffff : says.compressedBytes),
      long(isZip64 ? 0xffffffff : says.sizeBytes),
    ]),
    name: Buffer.from(says.name),
    extra: says.extra ?? (isZip64 ? Buffer.concat([short(1), short(16), sizes]) : Buffer.alloc(0)),
  }
}

function descriptorOf(
  { descriptor }: ZipMember,
  truth: { crc32: number; compressedBytes: number; sizeBytes: number },
): Buffer {
  if (descriptor === undefined) return Buffer.alloc(0)
  if (Buffer.isBuffer(descriptor)) return descriptor
  const size = descriptor.startsWith('long') ? big : long
  const signature = descriptor.endsWith('signed') ? Buffer.from('PK\x07\x08', 'latin1') : Buffer.alloc(0)
  return Buffer.concat([signature, long(truth.crc32), size(truth.compressedBytes), size(truth.sizeBytes)])
}

function endRecords(members: number, offset: number, directoryBytes: number, end: ZipEnd): Buffer {
  const { zip64, comment = Buffer.alloc(0) } = end
  const parts: Buffer[] = []
  if (zip64 !== undefined && zip64 !== false) {
    const lies = zip64 === true ? {} : zip64
    const at = offset + directoryBytes
    parts.push(
      Buffer.from('PK\x06\x06', 'latin1'),
      big(lies.recordBytes ?? 44),
      short(45),
      short(45),
      long(0),
      long(0),
      big(lies.count ?? members),
      big(lies.count ?? members),
      big(directoryBytes),
      big(lies.directoryOffset ?? offset),
      lies.after ?? Buffer.alloc(0),
      Buffer.from('PK\x06\x07', 'latin1'),
      long(0),
      big(lies.recordOffset ?? at),
      long(1),
    )
  }
  const is64 = zip64 !== undefined && zip64 !== false
  parts.push(
    Buffer.from('PK\x05\x06', 'latin1'),
    short(0),
    short(0),
    short(end.count ?? (is64 ? 0xffff : members)),
    short(end.count ?? (is64 ? 0xffff : members)),
    long(end.directoryBytes ?? (is64 ? 0xffffffff : directoryBytes)),
    long(end.directoryOffset ?? (is64 ? 0xffffffff : offset)),
    short(comment.length),
    comment,
  )
  return Buffer.concat(parts)
}

function short(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16LE(value)
  return bytes
}

function long(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function big(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
