import { parseDeb822, type Stanza } from './deb822.ts'

/** An archive that a system's own apt asks. */
export interface ListedArchive {
  /** Without trailing slash. */
  readonly url: string
  readonly suite: string
  /** None for a flat archive. */
  readonly components: readonly string[]
  /** Absolute path of the keys that sign it, or the keys themselves, ASCII-armoured. */
  readonly signedBy: { readonly path: string } | { readonly text: string } | undefined
}

/**
 * Reads a list of archives: a line each, or stanzas where the file is named `*.sources`. What apt would not read is passed
 * over, as are archives that are not asked over HTTP.
 *
 * @param architecture  archives for others alone are left out
 * @see sources.list(5)
 */
export function parseAptLists(path: string, text: string, architecture: string): ListedArchive[] {
  const found = path.endsWith('.sources') ? parseStanzas(text, architecture) : parseLines(text, architecture)
  return found.filter(({ url }) => /^https?:\/\//.test(url))
}

function parseLines(text: string, architecture: string): ListedArchive[] {
  return text.split('\n').flatMap((line): ListedArchive[] => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)(.*)$/.exec(line.replace(/#.*/, ''))
    const [, settings = '', url, suite, components = ''] = match ?? []
    if (url === undefined || suite === undefined) return []
    const options = new Map(
      words(settings).map((word): [string, string] => {
        const equals = word.indexOf('=')
        return [word.slice(0, equals), word.slice(equals + 1)]
      }),
    )
    const architectures = options.get('arch')?.split(',') ?? []
    if (architectures.length > 0 && !architectures.includes(architecture)) return []
    const path = options.get('signed-by')
    const signedBy = path?.startsWith('/') === true ? { path } : undefined
    return [{ url: url.replace(/\/+$/, ''), suite, components: words(components), signedBy }]
  })
}

function parseStanzas(text: string, architecture: string): ListedArchive[] {
  let stanzas: Stanza[]
  try {
    stanzas = parseDeb822(text)
  } catch (error) {
    if (error instanceof RangeError) return []
    throw error
  }
  return stanzas.flatMap((stanza) => {
    const list = (field: string): string[] => words(stanza.get(field) ?? '')
    const architectures = list('architectures')
    const isOff = /^(no|false|0|off|disable|without)$/i.test(stanza.get('enabled') ?? '')
    if (isOff || !list('types').includes('deb')) return []
    if (architectures.length > 0 && !architectures.includes(architecture)) return []
    const signature = stanza.get('signed-by')?.trim() ?? ''
    const signedBy = signature.startsWith('/')
      ? { path: signature }
      : signature.includes('BEGIN PGP PUBLIC KEY BLOCK')
        ? // A dot stands for an empty line there.
          { text: signature.replaceAll(/^\.$/gm, '') }
        : undefined
    return list('uris').flatMap((uri) =>
      list('suites').map((suite) => ({
        url: uri.replace(/\/+$/, ''),
        suite,
        components: list('components'),
        signedBy,
      })),
    )
  })
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}
