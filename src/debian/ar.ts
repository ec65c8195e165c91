import type { RandomAccess } from '../core/bytes.ts'

/** One member of an ar archive: its name and where its bytes lie. */
export interface ArMember {
  readonly name: string
  readonly offset: number
  readonly sizeBytes: number
}

const MAGIC = '!<arch>\n'
const HEADER_BYTES = 60
const MAX_MEMBERS = 32

/**
 * Lists the members of an ar archive in its order, from the headers alone.
 *
 * @throws RangeError when it is no ar archive or lies about its sizes
 * @see deb(5); ar(5), common format
 */
export async function readArMembers(file: RandomAccess): Promise<ArMember[]> {
  if (file.sizeBytes < MAGIC.length) throw new RangeError('Too short for an ar archive')
  if (text(await file.read(0, MAGIC.length)) !== MAGIC) throw new RangeError('Not an ar archive')
  const members: ArMember[] = []
  let offset = MAGIC.length
  while (offset < file.sizeBytes) {
    if (offset + HEADER_BYTES > file.sizeBytes) throw new RangeError('An ar header is cut off')
    const header = text(await file.read(offset, HEADER_BYTES))
    if (header.slice(58) !== '`\n') throw new RangeError('An ar header does not end as it must')
    const size = header.slice(48, 58).trim()
    if (!/^\d+$/.test(size)) throw new RangeError(`An ar member has no size: ${size}`)
    const member = {
      // dpkg pads with blanks; other writers end the name with a slash.
      name: header.slice(0, 16).trimEnd().replace(/\/$/, ''),
      offset: offset + HEADER_BYTES,
      sizeBytes: Number(size),
    }
    if (member.offset + member.sizeBytes > file.sizeBytes) {
      throw new RangeError(`The ar member ${member.name} ends after the file`)
    }
    if (members.length === MAX_MEMBERS) throw new RangeError(`More than ${MAX_MEMBERS} ar members`)
    members.push(member)
    offset = member.offset + member.sizeBytes + (member.sizeBytes % 2)
  }
  return members
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}
