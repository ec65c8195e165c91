import { BuildError } from '../../core/errors.ts'
import { maskUrl } from '../../core/http.ts'
import { parseHtmlPage } from './html-page.ts'
import type { IndexFile, IndexPage } from './page.ts'
import { splitFiles } from './split-files.ts'

/** What to send as `Accept`: JSON first, then HTML, as PEP 691 advises. */
export const PAGE_TYPES =
  'application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01'

/**
 * Parses a page by its content type.
 *
 * @param url  the page's own address, which relative links start from
 * @throws BuildError INDEX_FAILED
 */
export function parsePage(body: Buffer, contentType: string | undefined, url: string): IndexPage {
  const type = (contentType ?? 'text/html').split(';')[0]?.trim().toLowerCase() ?? ''
  if (type === 'application/vnd.pypi.simple.v1+json' || type === 'application/json') return parseJsonPage(body, url)
  if (type === 'application/vnd.pypi.simple.v1+html' || type === 'text/html' || type === 'application/xhtml+xml') {
    return parseHtmlPage(body.toString('utf8'), url)
  }
  throw new BuildError('INDEX_FAILED', `The index answered with ${type}, not with a page: ${maskUrl(url)}`, {
    hint: 'Is this the address of a simple index (PEP 503, PEP 691)? It usually ends with /simple/.',
  })
}

interface JsonFile {
  readonly filename?: unknown
  readonly url?: unknown
  readonly hashes?: unknown
  readonly size?: unknown
  readonly yanked?: unknown
  readonly 'requires-python'?: unknown
  readonly 'upload-time'?: unknown
  readonly 'core-metadata'?: unknown
  readonly 'dist-info-metadata'?: unknown
}

/** @see PEP 691, PEP 700 */
function parseJsonPage(body: Buffer, url: string): IndexPage {
  return lazyPage(body, url) ?? wholePage(body, url)
}

/** A page whose entries are parsed when they are looked at; undefined when that cannot be done with certainty. */
function lazyPage(body: Buffer, url: string): IndexPage | undefined {
  // Bytes as characters: what is not ASCII is decoded where it is looked at.
  const split = splitFiles(body.toString('latin1'))
  if (split === undefined) return undefined
  try {
    checkPage(JSON.parse(split.envelope), url)
    JSON.parse(split.entries.at(-1) ?? '')
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
  const { entries, filenames } = split
  return {
    url,
    filenames,
    fileAt: (place) => toIndexFile(parseJson(Buffer.from(entries[place] ?? 'null', 'latin1'), url) ?? {}, url),
  }
}

function wholePage(body: Buffer, url: string): IndexPage {
  const files = checkPage(parseJson(body, url), url).map(withoutForeign)
  return {
    url,
    filenames: files.map((file) => (typeof file?.filename === 'string' ? file.filename : '')),
    fileAt: (place) => toIndexFile(files[place] ?? {}, url),
  }
}

/** The files of a page of the version that is known. */
function checkPage(value: unknown, url: string): readonly (JsonFile | null)[] {
  const page = value as { readonly meta?: { readonly 'api-version'?: unknown }; readonly files?: unknown }
  const stated = page?.meta?.['api-version'] ?? '1.0'
  const version = typeof stated === 'string' || typeof stated === 'number' ? String(stated) : 'unknown'
  if (!version.startsWith('1.')) {
    throw new BuildError('INDEX_FAILED', `The index speaks version ${version} of the simple API: ${maskUrl(url)}`, {
      hint: 'Only version 1 is known.',
    })
  }
  if (!Array.isArray(page.files)) throw new BuildError('INDEX_FAILED', `The page lists no files: ${maskUrl(url)}`)
  return page.files as readonly (JsonFile | null)[]
}

const FOREIGN = /-(?:win|macosx|ios|android)[a-z0-9_]*\.whl$/

/**
 * Of a wheel for another system only what explains its refusal is kept: half of the entries of a page are such, and
 * the pages of vllm's closure list 139,000 files (peak memory 260 MB before, 245 MB after).
 */
function withoutForeign(file: JsonFile | null): JsonFile | null {
  if (typeof file?.filename !== 'string' || !FOREIGN.test(file.filename)) return file
  const { filename, yanked, 'requires-python': requiresPython, 'upload-time': uploadTime } = file
  return { filename, url: '', yanked, 'requires-python': requiresPython, 'upload-time': uploadTime }
}

function parseJson(body: Buffer, url: string): JsonFile | null {
  try {
    return JSON.parse(body.toString('utf8')) as JsonFile | null
  } catch (cause) {
    throw new BuildError('INDEX_FAILED', `The page is not JSON: ${maskUrl(url)}`, { cause })
  }
}

// One broken entry must not hide the rest of a project, so it is left out, as every installer does.
function toIndexFile(file: JsonFile, base: string): IndexFile | undefined {
  const { filename, url, size, yanked } = file
  if (typeof filename !== 'string' || typeof url !== 'string') return undefined
  const absolute = absoluteUrl(url, base)
  if (absolute === undefined) return undefined
  const metadata = file['core-metadata'] ?? file['dist-info-metadata']
  const requiresPython = file['requires-python']
  const uploadTime = file['upload-time']
  return {
    filename,
    url: absolute,
    hashes: toHashes(file.hashes),
    ...(typeof size === 'number' && Number.isSafeInteger(size) ? { sizeBytes: size } : {}),
    ...(typeof requiresPython === 'string' && requiresPython !== '' ? { requiresPython } : {}),
    ...(typeof uploadTime === 'string' ? { uploadTime } : {}),
    ...(yanked === true ? { yanked: '' } : typeof yanked === 'string' ? { yanked } : {}),
    ...(metadata === undefined || metadata === false || metadata === null
      ? {}
      : { metadataSha256: toHashes(metadata)['sha256'] ?? '' }),
  }
}

function toHashes(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null) return {}
  const hashes: Record<string, string> = {}
  for (const [algorithm, hash] of Object.entries(value)) {
    if (typeof hash === 'string' && /^[0-9a-fA-F]+$/.test(hash)) hashes[algorithm] = hash.toLowerCase()
  }
  return hashes
}

// Most pages hold thousands of absolute links; parsing each with `new URL` would cost more than the JSON.
function absoluteUrl(url: string, base: string): string | undefined {
  if (/^https?:\/\/[^/@#?]+\/[^#?\\\s]*$/.test(url)) return url
  try {
    const parsed = new URL(url, base)
    parsed.hash = ''
    return /^(?:https?|file):$/.test(parsed.protocol) ? parsed.href : undefined
  } catch {
    // A page is hostile or sloppy: what is no address is no file.
    return undefined
  }
}
