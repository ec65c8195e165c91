import { createGunzip } from 'node:zlib'
import { readTar, type TarMember } from '../../../layers/tar.ts'
import { through } from '../../../layers/compress.ts'
import { collect, type RandomAccess } from '../../core/bytes.ts'
import { BuildError } from '../../core/errors.ts'
import { readEntry, readZip } from '../../python/zip.ts'
import type { SourceTexts } from './static-metadata.ts'

/** Text by people; the largest known has less than 1 MB. */
const LIMIT_BYTES = 16 * 2 ** 20
/** No honest source distribution is anywhere near this, unpacked. */
const MAX_UNPACKED_BYTES = 8 * 2 ** 30

/**
 * The files at the top of a source archive that speak of it, without unpacking anything.
 *
 * @param hasTopFolder whether everything lies below one folder, as in a source distribution
 * @param subdirectory where the package lies below that, or below the archive's root
 * @throws BuildError ARCHIVE_INVALID
 */
export async function readSourceTexts(
  archive: RandomAccess,
  what: string,
  hasTopFolder: boolean,
  subdirectory: string | undefined,
): Promise<SourceTexts> {
  const found = new Map<string, string>()
  const wanted = (name: string): string | undefined => wantedName(name, hasTopFolder ? 1 : 0, subdirectory)
  const start = Buffer.from(await archive.read(0, Math.min(4, archive.sizeBytes)))
  const members =
    start.toString('latin1') === 'PK\u0003\u0004'
      ? zipMembers(archive, what, wanted)
      : tarMembers(archive, what, wanted)
  for await (const [name, text] of members) found.set(name, text)
  return { pkgInfo: found.get('PKG-INFO'), pyproject: found.get('pyproject.toml') }
}

async function* tarMembers(
  archive: RandomAccess,
  what: string,
  wanted: (name: string) => string | undefined,
): AsyncGenerator<readonly [string, string]> {
  const stream = archive.stream(0, archive.sizeBytes)
  const start = Buffer.from(await archive.read(0, Math.min(2, archive.sizeBytes)))
  const isPacked = start.equals(Buffer.from([0x1f, 0x8b]))
  const bytes = guarded(isPacked ? through(stream, createGunzip({ chunkSize: 1 << 17 })) : stream, what)
  for await (const member of readTar(bytes, what)) {
    const name = member.type === 'file' ? wanted(member.name) : undefined
    if (name !== undefined) yield [name, await textOf(member, what)]
  }
}

async function textOf({ name, sizeBytes, data }: TarMember, what: string): Promise<string> {
  if (sizeBytes > LIMIT_BYTES) {
    throw new BuildError('ARCHIVE_INVALID', `The source of \`${what}\` has a file that is too large: ${name}`)
  }
  return (await collect(data, LIMIT_BYTES)).toString('utf8')
}

async function* guarded(stream: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
  const refuse = (why: string, cause?: unknown): BuildError =>
    new BuildError('ARCHIVE_INVALID', `The source of \`${what}\` ${why}`, { cause })
  let size = 0
  try {
    for await (const chunk of stream) {
      size += chunk.length
      if (size > MAX_UNPACKED_BYTES) throw refuse(`unpacks to more than ${MAX_UNPACKED_BYTES} bytes`)
      yield chunk
    }
  } catch (error) {
    const isZlib = error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')
    throw isZlib ? refuse('is not sound gzip', error) : error
  }
}

async function* zipMembers(
  source: RandomAccess,
  what: string,
  wanted: (name: string) => string | undefined,
): AsyncGenerator<readonly [string, string]> {
  const archive = await readZip(source, what)
  for (const entry of archive.entries) {
    const name = entry.isDirectory ? undefined : wanted(entry.name)
    if (name !== undefined) yield [name, (await readEntry(source, archive, entry, LIMIT_BYTES)).toString('utf8')]
  }
}

/** The name of a file at the package's top. */
function wantedName(path: string, depth: number, subdirectory: string | undefined): string | undefined {
  const parts = path.replace(/^\.\//, '').split('/')
  const below = subdirectory === undefined ? [] : subdirectory.split('/')
  const name = parts.at(-1) ?? ''
  if (name !== 'PKG-INFO' && name !== 'pyproject.toml') return undefined
  const isThere = parts.length === below.length + depth + 1
  return isThere && below.every((part, index) => parts[index + depth] === part) ? name : undefined
}
