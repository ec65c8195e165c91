import { posix } from 'node:path'

/** Where weights come from, taken apart. */
export type WeightUri =
  | {
      readonly kind: 'hub'
      readonly type: 'models' | 'datasets' | 'spaces'
      /** `owner/name`, or `name` alone for a few old models. */
      readonly repository: string
      /** Branch, tag or commit. */
      readonly revision: string
    }
  | {
      readonly kind: 'web'
      /** Without fragment. */
      readonly url: string
      /** From the fragment `#sha256=...`. */
      readonly sha256?: string
    }
  | {
      readonly kind: 'local'
      /** Absolute, or relative to the project. */
      readonly path: string
    }

/** A reason why a text is no address of weights. */
export class WeightUriError extends Error {
  readonly hint: string | undefined

  constructor(message: string, hint?: string) {
    super(message)
    this.hint = hint
  }
}

/**
 * Parses the `uri` of a weight source.
 *
 * @throws WeightUriError
 * @example parseWeightUri('hf://openai/clip-vit-base-patch32@main')
 */
export function parseWeightUri(uri: string): WeightUri {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(uri)?.[1]?.toLowerCase()
  switch (scheme) {
    case undefined:
      return { kind: 'local', path: uri }
    case 'hf':
      return parseHub(uri.slice('hf://'.length))
    case 'https':
      return parseWeb(uri)
    case 'file':
      return parseFile(uri.slice('file://'.length))
    default:
      throw new WeightUriError(`Weights do not come by \`${scheme}://\``, 'Use hf://, https://, file:// or a path.')
  }
}

const HUB_TYPES = ['models', 'datasets', 'spaces'] as const

function parseHub(text: string): WeightUri {
  const at = text.lastIndexOf('@')
  const [path, revision] = at === -1 ? [text, 'main'] : [text.slice(0, at), text.slice(at + 1)]
  const parts = path.split('/')
  const type = HUB_TYPES.find((name) => parts.length === 3 && parts[0] === name) ?? 'models'
  const names = type !== 'models' || (parts.length === 3 && parts[0] === 'models') ? parts.slice(1) : parts
  if (names.length > 2)
    throw new WeightUriError(
      `A Hugging Face repository has two parts: \`${path}\``,
      'Choose files with `include`, not with a longer address.',
    )
  if (names.some((name) => !/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)))
    throw new WeightUriError(`This is not the name of a Hugging Face repository: \`${path}\``)
  if (!/^[A-Za-z0-9][A-Za-z0-9._/-]*$/.test(revision) || revision.includes('..'))
    throw new WeightUriError(`This is not a revision of a repository: \`${revision}\``)
  return { kind: 'hub', type, repository: names.join('/'), revision }
}

/** Names of query parameters that make an address a secret: it would stand in the lock. */
const SECRET =
  /^(x-amz-(signature|credential|security-token)|x-goog-signature|signature|sig|token|access_token|key|api_?key)$/i

function parseWeb(uri: string): WeightUri {
  if (!URL.canParse(uri)) throw new WeightUriError(`This is not an address: \`${uri}\``)
  const url = new URL(uri)
  if (url.username !== '' || url.password !== '')
    throw new WeightUriError('An address holds no credentials', 'Put them into the netrc file.')
  if ([...url.searchParams.keys()].some((name) => SECRET.test(name)))
    throw new WeightUriError(
      'This address holds a secret, which would be written into the lock file',
      'Use an address without signature, with credentials in the netrc file.',
    )
  const name = decode(posix.basename(url.pathname))
  if (name === '') throw new WeightUriError('An https address names one file, and this one names none')
  const fragment = url.hash.slice(1)
  url.hash = ''
  if (fragment === '') return { kind: 'web', url: url.href }
  const sha256 = /^sha256[=:]([0-9a-f]{64})$/.exec(fragment)?.[1]
  if (sha256 === undefined) throw new WeightUriError('Behind `#` stands `sha256=` and 64 hexadecimal digits')
  return { kind: 'web', url: url.href, sha256 }
}

/** Cog takes `file://./weights` for a path relative to the project, and `file:///srv/weights` for an absolute one. */
function parseFile(path: string): WeightUri {
  if (path === '') throw new WeightUriError('The address names no file')
  return { kind: 'local', path: decode(path) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // The only thing that decodeURIComponent refuses.
    throw new WeightUriError(`The percent signs of this address are not followed by codes: \`${text}\``)
  }
}
