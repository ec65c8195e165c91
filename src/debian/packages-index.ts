import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { createGzip, gunzip } from 'node:zlib'
import { collect } from '../core/bytes.ts'
import { BuildError } from '../core/errors.ts'
import { verify } from '../core/digest.ts'
import { maskUrl } from '../core/http.ts'
import { compressionOf, decompress } from './compression.ts'
import { IndexSlimmer } from './index-slimmer.ts'
import type { ArchiveContext, Release } from './release.ts'
import { releaseFolder } from './source.ts'

/** Bump when a line of the slim index changes its meaning. */
const SLIM_VERSION = 2
const MAX_INDEX_BYTES = 512 << 20

/** An index, and what still goes on with it. */
export interface FetchedIndex {
  /** Blocks of lines, one line a package with its line break, its fields apart by tabs in the order of `RECORD_FIELDS`. */
  readonly blocks: readonly Buffer[]
  /** Settles when it is in the cache: compressing it takes as long as choosing packages from it. Await it. */
  readonly kept: Promise<void>
}

/**
 * Fetches one component's index (a flat archive has no components, and one index) for an architecture (which has the packages of `all` too) and keeps a slim form of it in
 * the cache, keyed by the digest that the Release file vouches for.
 *
 * @throws BuildError ARCHIVE_INVALID, ARCHIVE_UNAVAILABLE, DIGEST_MISMATCH
 */
export async function fetchIndex(
  release: Release,
  component: string | undefined,
  architecture: string,
  context: ArchiveContext,
): Promise<FetchedIndex> {
  const files = filesOf(release, component, architecture)
  const [first] = files
  const key = `debian/index/${SLIM_VERSION}/${architecture}/${first?.sha256}`
  const known = await context.cache.get(key)
  if (known !== undefined) {
    const block = await promisify(gunzip)(known, { maxOutputLength: MAX_INDEX_BYTES })
    return { blocks: [block], kept: Promise.resolve() }
  }
  const blocks = await downloadOne(release, files, architecture, context)
  const kept = packed(blocks).then((bytes) => context.cache.set(key, bytes))
  // Seen by whoever awaits it, later.
  kept.catch(() => {})
  return { blocks, kept }
}

function packed(blocks: readonly Buffer[]): Promise<Buffer> {
  return collect(Readable.from(blocks).pipe(createGzip({ level: 1 })), MAX_INDEX_BYTES)
}

interface IndexFile {
  readonly path: string
  readonly sha256: string
  readonly sizeBytes: number
}

// gzip first: bookworm's main index is 12 MB instead of 9, and read in a tenth of the time and without xz's dictionary.
// Some suites publish xz alone. What a Release file lists need not be there (Debian's has no plain `Packages`).
const ENDINGS = ['.gz', '.zst', '.xz', '']

function filesOf(release: Release, component: string | undefined, architecture: string): IndexFile[] {
  const stem = component === undefined ? 'Packages' : `${component}/binary-${architecture}/Packages`
  const files = ENDINGS.flatMap((ending) => {
    const found = release.files.get(stem + ending)
    return found === undefined ? [] : [{ path: stem + ending, ...found }]
  })
  if (files.length > 0) return files
  throw new BuildError(
    'ARCHIVE_INVALID',
    component === undefined
      ? `The archive lists no Packages file: ${maskUrl(releaseFolder(release.source))}`
      : `${release.source.suite} has no packages of ${component} for ${architecture}: ${maskUrl(release.source.url)}`,
    {
      hint: component === undefined ? 'Check the address and the suite.' : 'Check the component and the architecture.',
    },
  )
}

async function downloadOne(
  release: Release,
  files: readonly IndexFile[],
  architecture: string,
  context: ArchiveContext,
): Promise<Buffer[]> {
  const folder = releaseFolder(release.source)
  const addresses = files.flatMap((file) => {
    const plain = `${folder}/${file.path}`
    const byHash = `${folder}/${file.path.replace(/[^/]+$/, '')}by-hash/SHA256/${file.sha256}`
    return (release.hasByHash ? [byHash, plain] : [plain]).map((url) => ({ url, file }))
  })
  let refusal: BuildError | undefined
  for (const { url, file } of addresses) {
    const response = await context.http({ url, signal: context.signal })
    if (response.status === 200) {
      const body = verify(response.body, { digest: `sha256:${file.sha256}`, size: file.sizeBytes }, maskUrl(url))
      return slim(body, file.path, architecture, maskUrl(url))
    }
    await response.discard()
    refusal ??= new BuildError('ARCHIVE_UNAVAILABLE', `The archive answered ${response.status}: ${maskUrl(url)}`, {
      hint: 'Try again, or name another mirror.',
      data: { url: maskUrl(url), status: response.status },
    })
  }
  throw refusal ?? new RangeError('No address to ask')
}

async function slim(
  body: AsyncIterable<Uint8Array>,
  path: string,
  architecture: string,
  what: string,
): Promise<Buffer[]> {
  const compression = compressionOf(path)?.compression ?? ''
  const slimmer = new IndexSlimmer(architecture)
  try {
    for await (const chunk of decompress(body, compression, MAX_INDEX_BYTES)) slimmer.push(chunk)
    return slimmer.end()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new BuildError('ARCHIVE_INVALID', `The package index cannot be read: ${what}`, { cause: error })
  }
}
