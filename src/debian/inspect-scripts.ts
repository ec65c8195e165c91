import pLimit from 'p-limit'
import type { RandomAccess } from '../core/bytes.ts'
import { BuildError } from '../core/errors.ts'
import { maskUrl } from '../core/http.ts'
import { openDeb } from './deb.ts'
import type { LockedDeb } from './lock.ts'
import type { ArchiveContext } from './release.ts'
import { isHonoured, unhonouredScripts, type UnhonouredScript } from './scripts.ts'

/** Bump when scripts are judged otherwise. */
const JUDGEMENT_VERSION = 2
/** Holds the control archive of nearly every package, which stands at its start. */
const PREFIX_BYTES = 1 << 15
const CONCURRENCY = 8

/**
 * Finds out which maintainer scripts nobody will have stood in for, from the first bytes of each package.
 *
 * Those bytes are not proven yet, so this is for telling people; laying the packages down judges again.
 *
 * @throws BuildError ARCHIVE_UNAVAILABLE, ARCHIVE_INVALID
 */
export async function inspectScripts(
  debs: readonly LockedDeb[],
  architecture: string,
  context: ArchiveContext,
): Promise<UnhonouredScript[]> {
  const limit = pLimit(CONCURRENCY)
  const found = await Promise.all(debs.map((deb) => limit(() => inspectOne(deb, architecture, context))))
  return found.flat().sort((a, b) => (a.package < b.package ? -1 : a.package > b.package ? 1 : 0))
}

async function inspectOne(deb: LockedDeb, architecture: string, context: ArchiveContext): Promise<UnhonouredScript[]> {
  context.signal?.throwIfAborted()
  if (isHonoured(deb.package)) return []
  // By the place as well: only the start of the file is read, which proves nothing about the hash that its archive states.
  const key = `debian/scripts/${JUDGEMENT_VERSION}/${deb.sha256} ${deb.url}`
  const known = await context.cache.get(key)
  if (known !== undefined) return JSON.parse(known.toString('utf8')) as UnhonouredScript[]
  const { controlFiles } = await openDeb(startOf(deb, context), `${deb.package} ${deb.version}`)
  const scripts = unhonouredScripts(deb.package, controlFiles, architecture)
  await context.cache.set(key, Buffer.from(JSON.stringify(scripts)))
  return scripts
}

/** A remote package of which only what is asked for is fetched, its start in one piece. */
function startOf(deb: LockedDeb, context: ArchiveContext): RandomAccess {
  let prefix: Promise<Buffer> | undefined
  const read = async (offset: number, length: number): Promise<Buffer> => {
    if (offset + length > PREFIX_BYTES) return fetchRange(deb, offset, length, context)
    prefix ??= fetchRange(deb, 0, Math.min(PREFIX_BYTES, deb.sizeBytes), context)
    return (await prefix).subarray(offset, offset + length)
  }
  return {
    sizeBytes: deb.sizeBytes,
    read,
    stream: async function* (offset, length) {
      yield await read(offset, length)
    },
    close: async () => {},
  }
}

async function fetchRange(deb: LockedDeb, offset: number, length: number, context: ArchiveContext): Promise<Buffer> {
  const { url } = deb
  const headers = { range: `bytes=${offset}-${offset + length - 1}` }
  const response = await context.http({ url, headers, signal: context.signal })
  if (response.status !== 206 && response.status !== 200) {
    await response.discard()
    throw new BuildError('ARCHIVE_UNAVAILABLE', `The archive answered ${response.status}: ${maskUrl(url)}`, {
      hint: 'Try again, or name another mirror.',
      data: { url: maskUrl(url), status: response.status },
    })
  }
  // A server without ranges sends everything; what comes after the part is not read.
  const skip = response.status === 200 ? offset : 0
  const parts: Uint8Array[] = []
  let sizeBytes = 0
  for await (const chunk of response.body) {
    parts.push(chunk)
    sizeBytes += chunk.length
    if (sizeBytes >= skip + length) break
  }
  if (sizeBytes < skip + length) throw new RangeError('The package is shorter than the index says')
  return Buffer.concat(parts).subarray(skip, skip + length)
}
