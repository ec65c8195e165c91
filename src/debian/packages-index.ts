import { gunzipSync, gzipSync } from 'node:zlib'
import { BuildError } from '../core/errors.ts'
import { verify } from '../core/digest.ts'
import { maskUrl } from '../core/http.ts'
import { compressionOf, decompress } from './compression.ts'
import { RECORD_FIELDS } from './package-record.ts'
import type { ArchiveContext, Release } from './release.ts'
import { releaseFolder } from './source.ts'

/** Bump when a line of the slim index changes its meaning. */
const SLIM_VERSION = 1
const MAX_INDEX_BYTES = 512 << 20

/**
 * Fetches one component's index (a flat archive has no components, and one index) for an architecture (which has the packages of `all` too) and keeps a slim form of it in
 * the cache, keyed by the digest that the Release file vouches for.
 *
 * @returns one line a package, its fields apart by tabs in the order of `RECORD_FIELDS`
 * @throws BuildError ARCHIVE_INVALID, ARCHIVE_UNAVAILABLE, DIGEST_MISMATCH
 */
export async function fetchIndexLines(
  release: Release,
  component: string | undefined,
  architecture: string,
  context: ArchiveContext,
): Promise<string[]> {
  const file = chooseFile(release, component, architecture)
  const key = `debian/index/${SLIM_VERSION}/${architecture}/${file.sha256}`
  const known = await context.cache.get(key)
  if (known !== undefined) return splitLines(gunzipSync(known).toString('latin1'))
  const lines = await download(release, file, architecture, context)
  await context.cache.set(key, gzipSync(Buffer.from(lines.join('\n'), 'latin1'), { level: 1 }))
  return lines
}

function splitLines(text: string): string[] {
  return text === '' ? [] : text.split('\n')
}

interface IndexFile {
  readonly path: string
  readonly sha256: string
  readonly sizeBytes: number
}

// xz is the smallest everywhere that has it; Debian itself publishes nothing else for new suites.
function chooseFile(release: Release, component: string | undefined, architecture: string): IndexFile {
  const stem = component === undefined ? 'Packages' : `${component}/binary-${architecture}/Packages`
  for (const ending of ['.xz', '.zst', '.gz', '']) {
    const found = release.files.get(stem + ending)
    if (found !== undefined) return { path: stem + ending, ...found }
  }
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

async function download(
  release: Release,
  file: IndexFile,
  architecture: string,
  context: ArchiveContext,
): Promise<string[]> {
  const folder = releaseFolder(release.source)
  const plain = `${folder}/${file.path}`
  const byHash = `${folder}/${file.path.replace(/[^/]+$/, '')}by-hash/SHA256/${file.sha256}`
  const addresses = release.hasByHash ? [byHash, plain] : [plain]
  for (const [position, url] of addresses.entries()) {
    const response = await context.http({ url, signal: context.signal })
    if (response.status === 200) {
      const body = verify(response.body, { digest: `sha256:${file.sha256}`, size: file.sizeBytes }, maskUrl(url))
      return slimLines(body, file.path, architecture, maskUrl(url))
    }
    await response.discard()
    if (position === addresses.length - 1) {
      throw new BuildError('ARCHIVE_UNAVAILABLE', `The archive answered ${response.status}: ${maskUrl(url)}`, {
        hint: 'Try again, or name another mirror.',
        data: { url: maskUrl(url), status: response.status },
      })
    }
  }
  throw new RangeError('No address to ask')
}

async function slimLines(
  body: AsyncIterable<Uint8Array>,
  path: string,
  architecture: string,
  what: string,
): Promise<string[]> {
  const compression = compressionOf(path)?.compression ?? ''
  const slimmer = new Slimmer(architecture)
  try {
    for await (const chunk of decompress(body, compression, MAX_INDEX_BYTES)) {
      // Names, versions and paths are ASCII; one byte a character keeps the rest of the text small.
      slimmer.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1'))
    }
    return slimmer.end()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new BuildError('ARCHIVE_INVALID', `The package index cannot be read: ${what}`, { cause: error })
  }
}

const FIELD_POSITION: ReadonlyMap<string, number> = new Map(RECORD_FIELDS.map((name, position) => [name, position]))

/**
 * Keeps of an index what the solver needs while the text streams by. It does not go through the general deb822 parser:
 * an index of Debian has 50 MB, most of which is passed over here.
 */
class Slimmer {
  readonly #architecture: string
  readonly #lines: string[] = []
  #rest = ''
  #fields: string[] = []
  #last = -1

  constructor(architecture: string) {
    this.#architecture = architecture
  }

  push(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#line(line)
  }

  end(): string[] {
    this.#line(this.#rest)
    this.#line('')
    return this.#lines
  }

  #line(line: string): void {
    if (line === '' || line === '\r') return this.#flush()
    const first = line.charCodeAt(0)
    if (first === 32 || first === 9) {
      if (this.#last !== -1) this.#fields[this.#last] += ` ${clean(line)}`
      return
    }
    const colon = line.indexOf(':')
    if (colon <= 0) throw new RangeError(`Not a field: ${line.slice(0, 80)}`)
    this.#last = FIELD_POSITION.get(line.slice(0, colon).toLowerCase()) ?? -1
    if (this.#last !== -1) this.#fields[this.#last] = clean(line.slice(colon + 1))
  }

  #flush(): void {
    const fields = this.#fields
    this.#fields = []
    this.#last = -1
    if (fields.length === 0) return
    const [name, version, architecture, filename, size, sha256] = fields
    if (architecture !== 'all' && architecture !== this.#architecture) return
    const isComplete = name !== undefined && version !== undefined && filename !== undefined
    if (!isComplete || !/^\d+$/.test(size ?? '') || !/^[0-9a-f]{64}$/.test(sha256 ?? '')) {
      throw new RangeError(`An entry without name, version, file, size or SHA256: ${name ?? '?'}`)
    }
    if (filename.startsWith('/') || filename.split('/').includes('..')) {
      throw new RangeError(`A file outside of the archive: ${filename}`)
    }
    this.#lines.push(Array.from(RECORD_FIELDS, (_, position) => fields[position] ?? '').join('\t'))
  }
}

function clean(value: string): string {
  return value.replaceAll('\t', ' ').trim()
}
