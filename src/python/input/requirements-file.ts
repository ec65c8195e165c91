import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { filePathOf } from '../../core/file-url.ts'
import { BuildError } from '../../core/errors.ts'
import type { LockFile } from '../formats/lock-file.ts'
import type { LockSelection } from '../formats/pylock.ts'
import { maskUrl, type Http } from '../../core/http.ts'
import type { Marker } from '../marker.ts'
import { normalizeName } from '../package-name.ts'
import type { RootRequirement } from '../resolution-input.ts'
import { decodeText } from './decode-text.ts'
import { parseRequirementLine, type ParsedLine } from './requirement-line.ts'
import { splitLogicalLines, splitShellWords } from './requirements-lines.ts'

/** What requirements files say, nested ones included, in order. */
export interface Requirements {
  readonly requirements: readonly RootRequirement[]
  readonly constraints: readonly RootRequirement[]
  /** Folders, source archives and repositories: nothing of them can be resolved from wheels. */
  readonly sources: readonly SourceRequirement[]
  readonly options: RequirementsOptions
  /** Absolute paths and URLs of everything that was read. */
  readonly files: readonly string[]
  /** Whether lines take variables of the environment in. */
  readonly usesVariables?: boolean
  /** Another tool's lock that answers all of it; `requirements` then says which packages it holds. */
  readonly lock?: LockFile & Pick<LockSelection, 'extras' | 'groups'>
}

/** A requirement that would have to be built first. */
export interface SourceRequirement {
  readonly location: string
  readonly name: string | undefined
  readonly origin: string
  readonly isEditable: boolean
  readonly marker?: Marker
  /** As written. */
  readonly extras?: readonly string[]
}

/** Options of requirements files that speak of the whole resolution. */
export interface RequirementsOptions {
  /** The last one stated. */
  readonly indexUrl?: string
  readonly extraIndexUrls: readonly string[]
  /** URLs or absolute paths of pages, folders and files. */
  readonly findLinks: readonly string[]
  readonly noIndex: boolean
  readonly allowsPreReleases: boolean
  readonly requiresHashes: boolean
  /** Normalised names, `:all:`. */
  readonly noBinary: readonly string[]
  readonly onlyBinary: readonly string[]
  readonly trustedHosts: readonly string[]
}

/** What loading needs of the world. */
export interface RequirementsContext {
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** For files that are named by URL. */
  readonly http: Http
  readonly signal?: AbortSignal | undefined
}

/** Files may include each other; more than this in one is somebody's mistake or attack. */
const MAX_FILE_BYTES = 16 << 20

/**
 * Loads requirements files as pip reads them.
 *
 * @param paths paths or `http(s):` URLs
 * @throws BuildError REQUIREMENT_INVALID with file and line, FILE_UNREADABLE, NETWORK_FAILED
 */
export async function loadRequirements(paths: readonly string[], context: RequirementsContext): Promise<Requirements> {
  const loader = new Loader(context)
  for (const path of paths) await loader.load(isUrl(path) ? path : resolve(context.cwd, path), 'requirement', path, [])
  return loader.result()
}

/** Parses text that stands for a requirements file, such as the `python_packages` of an old configuration. */
export async function parseRequirements(
  text: string,
  name: string,
  context: RequirementsContext,
): Promise<Requirements> {
  const loader = new Loader(context)
  await loader.read(text, name, resolve(context.cwd, name), 'requirement', [])
  return loader.result()
}

type Role = 'requirement' | 'constraint'

class Loader {
  readonly #context: RequirementsContext
  readonly #requirements: RootRequirement[] = []
  readonly #constraints: RootRequirement[] = []
  readonly #sources: SourceRequirement[] = []
  readonly #extraIndexUrls: string[] = []
  readonly #findLinks: string[] = []
  readonly #trustedHosts: string[] = []
  readonly #files: string[] = []
  #noBinary: readonly string[] = []
  #onlyBinary: readonly string[] = []
  #indexUrl: string | undefined
  #noIndex = false
  #pre = false
  #requiresHashes = false
  #usesVariables = false

  constructor(context: RequirementsContext) {
    this.#context = context
  }

  result(): Requirements {
    return {
      requirements: this.#requirements,
      constraints: this.#constraints,
      sources: this.#sources,
      options: {
        ...(this.#indexUrl === undefined ? {} : { indexUrl: this.#indexUrl }),
        extraIndexUrls: this.#extraIndexUrls,
        findLinks: this.#findLinks,
        noIndex: this.#noIndex,
        allowsPreReleases: this.#pre,
        requiresHashes: this.#requiresHashes,
        noBinary: this.#noBinary,
        onlyBinary: this.#onlyBinary,
        trustedHosts: this.#trustedHosts,
      },
      files: this.#files,
      ...(this.#usesVariables ? { usesVariables: true } : {}),
    }
  }

  /** @param parents files that are being read, the outermost first */
  async load(location: string, role: Role, name: string, parents: readonly string[]): Promise<void> {
    if (parents.includes(location)) {
      throw new BuildError(
        'REQUIREMENT_INVALID',
        `Requirements files include each other in a circle: ${[...parents, location].map(maskUrl).join(' -> ')}`,
      )
    }
    const text = decodeText(await this.#bytes(location, parents), maskUrl(name))
    this.#files.push(location)
    await this.read(text, maskUrl(name), location, role, parents)
  }

  async read(text: string, name: string, location: string, role: Role, parents: readonly string[]): Promise<void> {
    this.#usesVariables ||= /\$\{[A-Z0-9_]+\}/.test(text)
    for (const line of splitLogicalLines(text, this.#context.env)) {
      const origin = `${name}:${line.number}`
      try {
        await this.#readLine(line.text, origin, location, role, [...parents, location])
      } catch (error) {
        throw withOrigin(error, origin)
      }
    }
  }

  async #readLine(
    text: string,
    origin: string,
    location: string,
    role: Role,
    parents: readonly string[],
  ): Promise<void> {
    const words = text.split(' ')
    const firstOption = words.findIndex((word) => word.startsWith('-'))
    const head = (firstOption === -1 ? words : words.slice(0, firstOption)).join(' ').trim()
    const options = splitShellWords(firstOption === -1 ? '' : words.slice(firstOption).join(' '))
    if (options === undefined) throw invalid('A quote is not closed')
    if (head !== '') {
      const { hashes, extraIndexUrls, findLinks } = readRequirementOptions(options)
      this.#addRequirement(head, hashes, origin, location, role, false)
      this.#extraIndexUrls.push(...extraIndexUrls)
      for (const place of findLinks) this.#addFindLinks(place, location)
      return
    }
    for (const { name, value } of readOptions(options))
      await this.#applyOption(name, value, origin, location, role, parents)
  }

  #addRequirement(
    text: string,
    hashes: readonly string[],
    origin: string,
    location: string,
    role: Role,
    isEditable: boolean,
  ): void {
    const line = parseRequirementLine(text, this.#foldersOf(location))
    if (line.kind === 'source') this.#addSource(line, origin, isEditable)
    else if (isEditable)
      this.#addSource({ kind: 'source', location: text, name: line.requirement.name, marker: undefined }, origin, true)
    else {
      const root = { requirement: line.requirement, origin, ...(hashes.length === 0 ? {} : { hashes }) }
      ;(role === 'constraint' ? this.#constraints : this.#requirements).push(root)
      this.#requiresHashes ||= hashes.length > 0
    }
  }

  #addSource(line: Extract<ParsedLine, { kind: 'source' }>, origin: string, isEditable: boolean): void {
    const name = line.name === undefined ? undefined : normalizeName(line.name)
    const marker = line.marker === undefined ? {} : { marker: line.marker }
    const extras = line.extras === undefined ? {} : { extras: line.extras }
    this.#sources.push({ location: line.location, name, origin, isEditable, ...marker, ...extras })
  }

  async #applyOption(
    name: string,
    value: string,
    origin: string,
    location: string,
    role: Role,
    parents: readonly string[],
  ): Promise<void> {
    switch (name) {
      case '--requirement':
        return this.#include(value, role, location, parents)
      case '--constraint':
        return this.#include(value, 'constraint', location, parents)
      case '--editable':
        return this.#addRequirement(value, [], origin, location, role, true)
      case '--index-url':
        this.#indexUrl = value
        return
      case '--extra-index-url':
        this.#extraIndexUrls.push(value)
        return
      case '--find-links':
        this.#addFindLinks(value, location)
        return
      case '--no-index':
        this.#noIndex = true
        return
      case '--pre':
        this.#pre = true
        return
      case '--require-hashes':
        this.#requiresHashes = true
        return
      case '--no-require-hashes':
        this.#requiresHashes = false
        return
      case '--trusted-host':
        this.#trustedHosts.push(value)
        return
      case '--no-binary':
        this.#noBinary = applyFormat(this.#noBinary, value)
        return
      case '--only-binary':
        this.#onlyBinary = applyFormat(this.#onlyBinary, value)
        return
      default:
        // --prefer-binary, --use-feature and their like change nothing where only wheels are taken.
        return
    }
  }

  #addFindLinks(place: string, location: string): void {
    this.#findLinks.push(isUrl(place) ? place : resolve(this.#foldersOf(location).at(-1) ?? '.', place))
  }

  #include(value: string, role: Role, location: string, parents: readonly string[]): Promise<void> {
    return this.load(locationOf(value, location), role, value, parents)
  }

  #foldersOf(location: string): readonly string[] {
    return isUrl(location) ? [this.#context.cwd] : [this.#context.cwd, dirname(location)]
  }

  async #bytes(location: string, parents: readonly string[]): Promise<Uint8Array> {
    if (!/^https?:/i.test(location)) {
      const path = location.startsWith('file:') ? filePathOf(location) : location
      try {
        return await readFile(path)
      } catch (cause) {
        throw new BuildError('FILE_UNREADABLE', `The requirements file cannot be read: \`${path}\``, {
          hint:
            parents.length === 0
              ? undefined
              : 'A path after -r or -c starts from the folder of the file that holds it.',
          cause,
        })
      }
    }
    const response = await this.#context.http({ url: location, signal: this.#context.signal })
    if (response.status === 200) return response.bytes(MAX_FILE_BYTES)
    await response.discard()
    throw new BuildError(
      'FILE_UNREADABLE',
      `The requirements file was answered with ${response.status}: ${maskUrl(location)}`,
    )
  }
}

/** Short and long names of what may stand in a requirements file, and whether a value follows. */
const OPTIONS: Readonly<Record<string, { readonly name: string; readonly hasValue: boolean }>> = Object.fromEntries(
  [
    ['--requirement', '-r', true],
    ['--constraint', '-c', true],
    ['--editable', '-e', true],
    ['--index-url', '-i', true],
    ['--pypi-url', undefined, true],
    ['--extra-index-url', undefined, true],
    ['--find-links', '-f', true],
    ['--no-binary', undefined, true],
    ['--only-binary', undefined, true],
    ['--trusted-host', undefined, true],
    ['--use-feature', undefined, true],
    ['--all-releases', undefined, true],
    ['--only-final', undefined, true],
    ['--no-index', undefined, false],
    ['--prefer-binary', undefined, false],
    ['--require-hashes', undefined, false],
    ['--no-require-hashes', undefined, false],
    ['--pre', undefined, false],
  ].flatMap(([long, short, hasValue]) => {
    const name = long === '--pypi-url' ? '--index-url' : String(long)
    const option = { name, hasValue: hasValue === true }
    return [[String(long), option], ...(short === undefined ? [] : [[String(short), option]])]
  }),
)

function* readOptions(words: readonly string[]): Generator<{ readonly name: string; readonly value: string }> {
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? ''
    const [, flag = word, attached] =
      (word.startsWith('--') ? /^(--[^=]+)(?:=(.*))?$/s : /^(-.)(.+)?$/s).exec(word) ?? []
    const option = OPTIONS[flag]
    if (option === undefined) {
      throw invalid(`\`${maskUrl(word)}\` is no option of a requirements file`)
    }
    const value = option.hasValue ? (attached ?? words[++i]) : ''
    if (value === undefined) throw invalid(`The option ${flag} needs a value`)
    yield { name: option.name, value }
  }
}

/** What may follow a requirement on its line. */
interface RequirementOptions {
  readonly hashes: readonly string[]
  readonly extraIndexUrls: readonly string[]
  readonly findLinks: readonly string[]
}

const REQUIREMENT_OPTIONS =
  /^--(hash|config-settings?|global-option|install-option|extra-index-url|index-url|find-links)(?:=(.*))?$/s
const SHORT_REQUIREMENT_OPTIONS: Readonly<Record<string, string>> = {
  '-C': 'config-settings',
  '-i': 'index-url',
  '-f': 'find-links',
}

/** An index after a requirement is nothing that pip knows, but Cog asks it for everything, as one more. */
function readRequirementOptions(words: readonly string[]): RequirementOptions {
  const hashes: string[] = []
  const extraIndexUrls: string[] = []
  const findLinks: string[] = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? ''
    const short = SHORT_REQUIREMENT_OPTIONS[word.slice(0, 2)]
    const [, name, attached] =
      REQUIREMENT_OPTIONS.exec(word) ?? (short === undefined ? [] : ['', short, word.slice(2) || undefined])
    if (name === undefined) throw invalid(`\`${maskUrl(word)}\` is no option of a requirement`)
    const value = attached ?? words[++i]
    if (value === undefined) throw invalid(`The option --${name} needs a value`)
    if (name === 'hash') hashes.push(parseHash(value))
    else if (name.endsWith('index-url')) extraIndexUrls.push(value)
    else if (name === 'find-links') findLinks.push(value)
  }
  return { hashes, extraIndexUrls, findLinks }
}

function parseHash(text: string): string {
  if (!/^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/i.test(text)) {
    throw invalid(`Not a hash: \`${text}\`. It looks like sha256:<64 hex digits>; sha384 and sha512 are known too`)
  }
  return text.toLowerCase()
}

function applyFormat(current: readonly string[], value: string): readonly string[] {
  let names = [...current]
  for (const name of value.split(',').map((part) => part.trim())) {
    if (name === ':none:') names = []
    else if (name === ':all:') names = [':all:']
    else if (name !== '') names.push(normalizeName(name))
  }
  return names
}

/** Where a file lies that another one, at `from`, includes. */
function locationOf(included: string, from: string): string {
  if (isUrl(included)) return included
  if (!isUrl(from)) return resolve(dirname(from), included)
  if (URL.canParse(included, from)) return new URL(included, from).href
  throw invalid(`Not an address: \`${maskUrl(included)}\``)
}

function isUrl(text: string): boolean {
  return /^(?:https?|file):\/\//i.test(text)
}

function invalid(message: string): BuildError {
  return new BuildError('REQUIREMENT_INVALID', message)
}

/** Puts file and line in front of a message that has none yet. */
function withOrigin(error: unknown, origin: string): unknown {
  const isOurs = error instanceof BuildError && (error.code === 'REQUIREMENT_INVALID' || error.code === 'WHEEL_INVALID')
  if (!isOurs || error.data?.['origin'] !== undefined) return error
  return new BuildError('REQUIREMENT_INVALID', `${origin}: ${error.message}`, {
    hint: error.hint,
    data: { ...error.data, origin },
    cause: error,
  })
}
