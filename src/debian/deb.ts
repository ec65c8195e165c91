import type { RandomAccess } from '../core/bytes.ts'
import { collect, copied, packedTogether } from '../core/bytes.ts'
import { BuildError } from '../core/errors.ts'
import { readArMembers, type ArMember } from './ar.ts'
import { compressionOf, decompress, type Compression } from './compression.ts'
import { parseStanza, type Stanza } from './deb822.ts'
import { decompressSmallXz } from './xz/small.ts'
import { readTar, type TarMember } from '../core/tar-reader.ts'
import { cleanMemberPath } from './paths.ts'

/** A binary package, opened: its control files and its content as a stream. */
export interface Deb {
  readonly control: Stanza
  /** The control stanza as it was written, for the status file. */
  readonly controlText: string
  /** The other files of the control archive by name: `conffiles`, `md5sums`, `postinst`, `triggers`, ... */
  readonly controlFiles: ReadonlyMap<string, Buffer>
  /** Reads the content once, member by member; call it again for another pass. */
  data(): AsyncIterable<TarMember>
}

/** Most control archives have a few kilobytes. */
const MAX_SMALL_BYTES = 1 << 18
const MAX_CONTROL_BYTES = 64 << 20
/** Above any package of Debian (the largest unpack to about 8 GB). */
const MAX_DATA_BYTES = 32 * 2 ** 30

/**
 * Opens a .deb whose digest has been checked already.
 *
 * @param what names the package in errors
 * @throws BuildError ARCHIVE_INVALID when it does not follow the format
 * @see deb(5)
 */
export async function openDeb(file: RandomAccess, what: string): Promise<Deb> {
  return describingErrors(what, async () => {
    const members = await readArMembers(file)
    const [version, ...rest] = members
    if (version?.name !== 'debian-binary') throw new RangeError('It does not start with debian-binary')
    const format = Buffer.from(await file.read(version.offset, Math.min(version.sizeBytes, 16))).toString('latin1')
    if (!/^2\.\d+\n/.test(format)) throw new RangeError(`A format that is not 2.x: ${format.trim()}`)
    // deb(5): members whose name starts with an underscore may stand between and are skipped.
    const [control, data] = rest.filter((member) => !member.name.startsWith('_'))
    if (control === undefined || data === undefined) throw new RangeError('It has no control.tar or no data.tar')
    const controlCompression = memberCompression(control, 'control.tar')
    const dataCompression = memberCompression(data, 'data.tar')
    const files = await readControl(file, control, controlCompression)
    const controlText = files.get('control')?.toString('utf8')
    if (controlText === undefined) throw new RangeError('Its control.tar has no control file')
    return {
      control: parseStanza(controlText),
      controlText,
      controlFiles: files,
      data: () => describedMembers(what, readTar(stream(file, data, dataCompression, MAX_DATA_BYTES))),
    }
  })
}

function memberCompression(member: ArMember, stem: string): Compression {
  const found = compressionOf(member.name)
  if (found === undefined || found.stem !== stem) throw new RangeError(`${member.name} stands where ${stem} must`)
  return found.compression
}

function stream(
  file: RandomAccess,
  member: ArMember,
  compression: Compression,
  limitBytes: number,
): AsyncIterable<Uint8Array> {
  // What decompresses xz copies its input; others may hold on to it.
  const source = file.stream(member.offset, member.sizeBytes, { reuse: compression === 'xz' })
  return decompress(source, compression, limitBytes)
}

async function* controlStream(
  file: RandomAccess,
  member: ArMember,
  compression: Compression,
): AsyncGenerator<Uint8Array> {
  if (compression !== 'xz' || member.sizeBytes > MAX_SMALL_BYTES) {
    yield* stream(file, member, compression, MAX_CONTROL_BYTES)
  } else {
    yield decompressSmallXz(await file.read(member.offset, member.sizeBytes), MAX_CONTROL_BYTES)
  }
}

async function readControl(
  file: RandomAccess,
  member: ArMember,
  compression: Compression,
): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>()
  for await (const entry of readTar(controlStream(file, member, compression))) {
    const path = cleanMemberPath(entry.name)
    if (entry.type === 'directory' && path === '') continue
    if (entry.type !== 'file' || path.includes('/')) throw new RangeError(`Its control.tar holds ${entry.name}`)
    if (files.has(path)) throw new RangeError(`Its control.tar holds ${path} twice`)
    files.set(path, await collect(copied(entry.body), MAX_CONTROL_BYTES))
  }
  // A build holds those of all packages until they are registered.
  return packedTogether(files)
}

async function* describedMembers(what: string, members: AsyncIterable<TarMember>): AsyncGenerator<TarMember> {
  for await (const member of describedStream(what, members)) {
    yield { ...member, body: describedStream(what, member.body) }
  }
}

async function* describedStream<T>(what: string, source: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* source
  } catch (error) {
    throw describe(what, error)
  }
}

async function describingErrors<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw describe(what, error)
  }
}

function describe(what: string, error: unknown): unknown {
  if (!(error instanceof RangeError)) return error
  return new BuildError('ARCHIVE_INVALID', `The package ${what} is not a valid .deb: ${error.message}`, {
    hint: 'The file has the digest that the archive index promised, so the archive itself holds it. Use another mirror or package version.',
    cause: error,
  })
}
