import { pageOf, type IndexFile, type IndexPage } from './page.ts'

const ATTRIBUTE = /([a-zA-Z][\w-]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g

/**
 * Parses an HTML page of links; a link whose address cannot be read is left out.
 *
 * @param url  the page's own address; `<base href>` replaces it for links
 * @see PEP 503, PEP 592, PEP 658, PEP 714
 */
export function parseHtmlPage(html: string, url: string): IndexPage {
  const files: IndexFile[] = []
  let base = url
  let hasBase = false
  for (const { name, attributes } of tagsOf(html)) {
    const values = readAttributes(attributes)
    const href = values.get('href')
    if (href === undefined) continue
    if (name === 'a') {
      files.push(...toIndexFile(href, values, base))
    } else if (!hasBase) {
      base = resolveUrl(href, url)?.href ?? url
      hasBase = true
    }
  }
  return pageOf(url, files)
}

/**
 * The tags that matter, in one pass: a page of a hostile index must not take longer than it is long.
 *
 * A comment or a tag that is never closed holds the rest of the page, as in a browser.
 */
function* tagsOf(html: string): Generator<{ readonly name: string; readonly attributes: string }> {
  const start = /<!--|<(base|a)\b/gi
  for (let found = start.exec(html); found !== null; found = start.exec(html)) {
    const [, name] = found
    const from = start.lastIndex
    const end = name === undefined ? html.indexOf('-->', from) : endOfTag(html, from)
    if (end < 0) return
    if (name !== undefined) yield { name: name.toLowerCase(), attributes: html.slice(from, end) }
    start.lastIndex = end
  }
}

/** Where the `>` of a tag is, which is not one between quotes; -1 when there is none. */
function endOfTag(html: string, from: number): number {
  const stop = /[>"']/g
  stop.lastIndex = from
  for (let found = stop.exec(html); found !== null; found = stop.exec(html)) {
    if (found[0] === '>') return found.index
    const close = html.indexOf(found[0], stop.lastIndex)
    if (close < 0) return -1
    stop.lastIndex = close + 1
  }
  return -1
}

function toIndexFile(href: string, attributes: ReadonlyMap<string, string>, base: string): readonly IndexFile[] {
  const url = resolveUrl(href, base)
  if (url === undefined) return []
  const filename = decodePath(url.pathname.slice(url.pathname.lastIndexOf('/') + 1))
  if (filename === undefined || filename === '' || filename.includes('/')) return []
  const hash = /^#([a-z0-9_]+)=([0-9a-fA-F]+)/.exec(url.hash)
  url.hash = ''
  const requiresPython = attributes.get('data-requires-python')
  const yanked = attributes.get('data-yanked')
  const metadata = attributes.get('data-core-metadata') ?? attributes.get('data-dist-info-metadata')
  return [
    {
      filename,
      url: url.href,
      hashes: hash?.[1] === undefined ? {} : { [hash[1]]: (hash[2] ?? '').toLowerCase() },
      ...(requiresPython === undefined || requiresPython === '' ? {} : { requiresPython }),
      ...(yanked === undefined ? {} : { yanked }),
      ...(metadata === undefined || metadata === 'false'
        ? {}
        : { metadataSha256: /^sha256=([0-9a-f]{64})$/i.exec(metadata)?.[1]?.toLowerCase() ?? '' }),
    },
  ]
}

function readAttributes(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  for (const [, name = '', double, single, bare] of text.matchAll(ATTRIBUTE)) {
    const key = name.toLowerCase()
    if (!values.has(key)) values.set(key, decodeEntities(double ?? single ?? bare ?? ''))
  }
  return values
}

function resolveUrl(href: string, base: string): URL | undefined {
  try {
    const url = new URL(href.trim(), base)
    return /^(?:https?|file):$/.test(url.protocol) ? url : undefined
  } catch {
    // A page is hostile or sloppy: what is no address is no file.
    return undefined
  }
}

function decodePath(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    // Neither is a name that cannot be read.
    return undefined
  }
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' }

function decodeEntities(text: string): string {
  if (!text.includes('&')) return text
  return text.replace(
    /&(?:#x([0-9a-f]{1,6})|#([0-9]{1,7})|([a-z]+));/gi,
    (whole, hex?: string, decimal?: string, name?: string) => {
      if (name !== undefined) return ENTITIES[name.toLowerCase()] ?? whole
      const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole
    },
  )
}
