import { pageOf, type IndexFile, type IndexPage } from './page.ts'

const TAG = /<!--[^]*?-->|<(base|a)\b((?:[^>"']|"[^"]*"|'[^']*')*)>/gi
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
  for (const [, tag, attributes = ''] of html.matchAll(TAG)) {
    if (tag === undefined) continue
    const values = readAttributes(attributes)
    const href = values.get('href')
    if (href === undefined) continue
    if (tag.toLowerCase() === 'a') {
      files.push(...toIndexFile(href, values, base))
    } else if (!hasBase) {
      base = resolveUrl(href, url)?.href ?? url
      hasBase = true
    }
  }
  return pageOf(url, files)
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
    return undefined
  }
}

function decodePath(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
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
