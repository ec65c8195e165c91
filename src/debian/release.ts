import type { Cache } from '../core/cache.ts'
import { BuildError, isBuildError } from '../core/errors.ts'
import { digestOf } from '../core/digest.ts'
import { maskUrl, type Http } from '../core/http.ts'
import { parseStanza, type Stanza } from './deb822.ts'
import { provenText, type SignedRelease } from './release-signature.ts'
import { isFlat, releaseFolder, type ArchiveSource } from './source.ts'

/** A signed Release file: what the archive vouches for. */
export interface Release {
  readonly source: ArchiveSource
  readonly suite: string
  readonly codename: string
  readonly date: Date
  readonly hasByHash: boolean
  /** Hex, of the InRelease (or Release) file as it came. */
  readonly sha256: string
  /** Files below `dists/SUITE/` (below the suite's folder in a flat archive) with their SHA-256 (hex) and size. */
  readonly files: ReadonlyMap<string, { readonly sha256: string; readonly sizeBytes: number }>
}

/** What asking an archive needs. */
export interface ArchiveContext {
  readonly http: Http
  readonly cache: Cache
  readonly now: () => Date
  readonly signal?: AbortSignal | undefined
}

const MAX_RELEASE_BYTES = 16 << 20
/** How far the archive's clock may run ahead of this one. */
const CLOCK_SKEW_MS = 24 * 3600_000

/**
 * Fetches and proves the InRelease file of a suite, or `Release` with `Release.gpg` where the archive has no such file.
 *
 * Any one valid signature of a trusted key suffices, as for apt. A file older than one seen before is refused: somebody
 * may replay a state whose packages have known holes.
 *
 * @throws BuildError SIGNATURE_INVALID, ARCHIVE_INVALID, ARCHIVE_UNAVAILABLE
 */
export async function fetchRelease(source: ArchiveSource, context: ArchiveContext): Promise<Release> {
  const folder = releaseFolder(source)
  const url = `${folder}/InRelease`
  const file = await downloadRelease(folder, context)
  const text = await provenText(file, url, source, context.now())
  const release = parseRelease(text, file.bytes, source, url)
  checkDates(release.date, text, url, source, context.now())
  await guardReplay(release.date, url, context)
  return release
}

async function downloadRelease(folder: string, context: ArchiveContext): Promise<SignedRelease> {
  const get = (name: string): Promise<Buffer> => download(`${folder}/${name}`, MAX_RELEASE_BYTES, context)
  try {
    return { kind: 'clear', bytes: await get('InRelease') }
  } catch (error) {
    if (!isBuildError(error) || error.data?.['status'] !== 404) throw error
    const signature = await get('Release.gpg').catch(() => {
      // What was asked for first is what the reader must hear of.
      throw error
    })
    return { kind: 'detached', bytes: await get('Release'), signature }
  }
}

/**
 * Downloads a small file of an archive.
 *
 * @throws BuildError ARCHIVE_UNAVAILABLE unless the answer is 200; NETWORK_FAILED
 */
export async function download(url: string, limitBytes: number, context: ArchiveContext): Promise<Buffer> {
  const response = await context.http({ url, signal: context.signal })
  if (response.status === 200) return response.bytes(limitBytes)
  await response.discard()
  throw new BuildError('ARCHIVE_UNAVAILABLE', `The archive answered ${response.status}: ${maskUrl(url)}`, {
    hint:
      response.status === 404
        ? 'Check the address of the archive and the name of the suite.'
        : 'Try again, or name another mirror.',
    data: { url: maskUrl(url), status: response.status },
  })
}

function parseRelease(text: string, bytes: Buffer, source: ArchiveSource, url: string): Release {
  const stanza = invalidAs(url, () => parseStanza(text))
  const date = new Date(stanza.get('date') ?? '')
  if (Number.isNaN(date.getTime())) throw invalid(url, 'it has no valid Date')
  const suite = stanza.get('suite') ?? ''
  const codename = stanza.get('codename') ?? ''
  // A signed file of another suite must not stand in for the one that was asked for.
  if (source.suite !== suite && source.suite !== codename && !isFlat(source)) {
    throw invalid(url, `it is of the suite ${suite || codename}`)
  }
  return {
    source,
    suite,
    codename,
    date,
    hasByHash: stanza.get('acquire-by-hash') === 'yes',
    sha256: digestOf(bytes).slice('sha256:'.length),
    files: invalidAs(url, () => parseFiles(stanza)),
  }
}

function parseFiles(stanza: Stanza): Release['files'] {
  const files = new Map<string, { sha256: string; sizeBytes: number }>()
  for (const line of (stanza.get('sha256') ?? '').split('\n')) {
    if (line.trim() === '') continue
    const match = /^\s*([0-9a-f]{64})\s+(\d+)\s+(\S+)\s*$/.exec(line)
    const [, sha256, size, path] = match ?? []
    if (sha256 === undefined || path === undefined) throw new RangeError(`a line that is no SHA256 entry: ${line}`)
    // Flat archives may write `./Packages`.
    files.set(path.replace(/^\.\//, ''), { sha256, sizeBytes: Number(size) })
  }
  if (files.size === 0) throw new RangeError('it lists no SHA256')
  return files
}

function checkDates(date: Date, text: string, url: string, source: ArchiveSource, now: Date): void {
  if (date.getTime() > now.getTime() + CLOCK_SKEW_MS) {
    throw new BuildError(
      'ARCHIVE_INVALID',
      `The Release file is dated in the future (${date.toISOString()}): ${maskUrl(url)}`,
      {
        hint: "Check this machine's clock.",
      },
    )
  }
  const validUntil = /^Valid-Until: *(.+)$/m.exec(text)?.[1]
  if (validUntil === undefined || source.checkValidUntil === false) return
  const end = new Date(validUntil)
  if (Number.isNaN(end.getTime()) || end < now) {
    throw new BuildError('ARCHIVE_INVALID', `The Release file expired at ${validUntil}: ${maskUrl(url)}`, {
      hint: "The mirror is out of date, or this machine's clock is wrong. For a state of the past name a snapshot.",
      data: { url: maskUrl(url), validUntil },
    })
  }
}

async function guardReplay(date: Date, url: string, context: ArchiveContext): Promise<void> {
  const key = `debian/release-date/${url}`
  const seen = Number((await context.cache.get(key))?.toString('latin1') ?? 0)
  if (date.getTime() < seen) {
    throw new BuildError(
      'ARCHIVE_INVALID',
      `The Release file is from ${date.toISOString()}, but one from ${new Date(seen).toISOString()} was seen: ${maskUrl(url)}`,
      { hint: 'The mirror lags behind or replays an old state. Try again later or use another mirror.' },
    )
  }
  if (date.getTime() > seen) await context.cache.set(key, Buffer.from(String(date.getTime())))
}

function invalidAs<T>(url: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof RangeError) throw invalid(url, error.message, error)
    throw error
  }
}

function invalid(url: string, why: string, cause?: unknown): BuildError {
  return new BuildError('ARCHIVE_INVALID', `The Release file cannot be used, ${why}: ${maskUrl(url)}`, { cause })
}
