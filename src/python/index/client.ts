import { setMaxListeners } from 'node:events'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import defaults from '../../core/defaults.json' with { type: 'json' }
import type { Cache } from '../../core/cache.ts'
import { BuildError } from '../../core/errors.ts'
import { maskUrl, type Http, type HttpResponse } from '../../core/http.ts'
import { packedCache, type PackedCache } from '../../core/packed-cache.ts'
import { ANSWERS_FRESH_MS, isYoung } from '../../core/freshness.ts'
import { indexError, unansweredFor } from './index-error.ts'
import { listLocalLinks } from './local-links.ts'
import { limitHttp } from './limited-http.ts'
import type { IndexFile, IndexPage } from './page.ts'
import { PAGE_TYPES, parsePage } from './parse-page.ts'
import type { RemoteAccess } from './remote-wheel.ts'
import { fetchMetadata } from './wheel-metadata.ts'

/** One package index. */
export interface PackageIndex {
  /** For credentials in the environment and for pins; optional. */
  readonly name?: string
  /** Without credentials; with `/` at the end. A flat one may be a `file:` URL. */
  readonly url: string
  /** `flat`: one page of links to files of any project (pip's `--find-links`). `simple` unless given. */
  readonly kind?: 'simple' | 'flat'
  /** Asked only for packages that are pinned to it. */
  readonly isExplicit?: boolean
}

/** Which indexes are asked for what. */
export interface IndexPlan {
  /** In the order in which they are asked. */
  readonly indexes: readonly PackageIndex[]
  /**
   * `first-index`: a package is taken from the first index that has it, so that nobody can slip a newer version of a
   * private package into a public index. `unsafe-best-match`: versions of all indexes compete.
   */
  readonly strategy: 'first-index' | 'unsafe-best-match'
  /** Normalised package name to the URL of the only index that may serve it. */
  readonly pins: Readonly<Record<string, string>>
}

/** What {@link IndexClient} works with. */
export interface IndexClientOptions {
  readonly http: Http
  /** Answers of earlier runs, and for later ones; none unless given. */
  readonly cache?: Cache | undefined
  /** Headers for a URL, such as `authorization`; none unless given. */
  readonly headers?: ((url: string) => Promise<Readonly<Record<string, string>>>) | undefined
  /** Asks nothing: what the cache does not hold is an error. */
  readonly isOffline?: boolean | undefined
  /** How long a page is used again without asking; 10 minutes unless given, 0 asks always. */
  readonly freshMs?: number | undefined
  readonly now?: (() => number) | undefined
  readonly concurrency?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** A file and the index that listed it. */
export interface ListedFile extends IndexFile {
  /** Without credentials. */
  readonly index: string
}

/** A page and the index that gave it. */
export interface ListedPage {
  readonly page: IndexPage
  /** Without credentials; empty for a wheel that was named by its own address. */
  readonly index: string
}

/** All files of a project, and what every index said. */
export interface Project {
  readonly name: string
  readonly pages: readonly ListedPage[]
  readonly asked: readonly AskedIndex[]
  /** Indexes that were not asked, since an earlier one has the project. */
  readonly unasked: readonly string[]
}

/** What an index said of a project. */
export interface AskedIndex {
  readonly url: string
  readonly answer: 'found' | 'absent' | 'denied' | 'not-cached' | 'no-place'
}

/** Reads package indexes: each page and each METADATA once, in parallel, with a cache on disk. */
export class IndexClient {
  readonly #plan: IndexPlan
  readonly #options: IndexClientOptions
  readonly #cache: PackedCache | undefined
  readonly #http: Http
  readonly #ended = new AbortController()
  readonly #signal: AbortSignal
  readonly #projects = new Map<string, Promise<Project>>()
  readonly #metadata = new Map<string, Promise<string>>()
  readonly #flat = new Map<string, Promise<IndexPage | NoPage>>()
  readonly #writes: Promise<void>[] = []
  #requests = 0

  constructor(plan: IndexPlan, options: IndexClientOptions) {
    this.#plan = plan
    this.#options = options
    this.#cache = options.cache === undefined ? undefined : packedCache(options.cache)
    const { signal } = options
    this.#signal = signal === undefined ? this.#ended.signal : AbortSignal.any([signal, this.#ended.signal])
    // Each exchange listens to it; fifty at once are no leak.
    setMaxListeners(0, this.#signal)
    const limited = limitHttp(options.http, options.concurrency ?? 20)
    this.#http = (request) => {
      this.#requests++
      return limited({ ...request, isShared: true })
    }
  }

  /** Requests sent so far. */
  get requests(): number {
    return this.#requests
  }

  /** Access to single files, with the same credentials and limits. */
  get remote(): RemoteAccess {
    return { http: this.#http, headers: (url) => this.#headers(url), signal: this.#signal }
  }

  /** A project's files; asked once. @throws BuildError INDEX_DENIED, INDEX_FAILED, INDEX_UNAVAILABLE, OFFLINE */
  project(name: string): Promise<Project> {
    return remember(this.#projects, name, () => this.#askProject(name))
  }

  /** A wheel's METADATA; asked once. */
  metadata(file: IndexFile): Promise<string> {
    return remember(this.#metadata, file.url, () => this.#askMetadata(file))
  }

  /** Ends what was asked ahead and is not needed, and waits until the cache holds what was learned. */
  async settle(): Promise<void> {
    this.#ended.abort()
    await Promise.allSettled([...this.#projects.values(), ...this.#metadata.values(), ...this.#flat.values()])
    await Promise.all(this.#writes.splice(0))
    await this.#cache?.flush()
  }

  /** Nobody waits for the disk while the network is asked. */
  #store(key: string, bytes: () => Uint8Array): void {
    const write = this.#cache?.set(key, bytes())
    if (write === undefined) return
    // Waited for by `settle`, which fails with it.
    write.catch(() => {})
    this.#writes.push(write)
  }

  async #askProject(name: string): Promise<Project> {
    const pin = this.#plan.pins[name]
    const usable = this.#plan.indexes.filter((index) =>
      pin === undefined ? index.isExplicit !== true : index.url === pin,
    )
    const flat = usable.filter((index) => index.kind === 'flat')
    const simple = usable.filter((index) => index.kind !== 'flat')
    const pages: ListedPage[] = []
    const asked: AskedIndex[] = []
    for (const index of flat) {
      const page = await this.#flatPage(index)
      if (typeof page === 'string') asked.push({ url: index.url, answer: page })
      else pages.push({ page, index: index.url })
    }
    let unasked: readonly string[] = []
    for (const [position, index] of simple.entries()) {
      const answer = await this.#askPage(index, name).catch((error: unknown) => {
        throw this.#signal.aborted ? error : unansweredFor(name, index.url, pin !== undefined, error)
      })
      asked.push({ url: index.url, answer: answer.kind })
      // What a refusing index has is unknown; taking the package from elsewhere could be somebody else's package.
      if (answer.kind === 'denied' && this.#plan.strategy === 'first-index') break
      if (answer.kind !== 'found') continue
      pages.push({ page: answer.page, index: index.url })
      if (this.#plan.strategy === 'first-index') {
        unasked = simple.slice(position + 1).map(({ url }) => url)
        break
      }
    }
    return { name, pages, asked, unasked }
  }

  /** Files of all projects; whoever looks for one project's finds them by name. */
  #flatPage(index: PackageIndex): Promise<IndexPage | NoPage> {
    return remember(this.#flat, index.url, async () => {
      if (index.url.startsWith('file:')) return (await listLocalLinks(index.url)) ?? 'no-place'
      const answer = await this.#page(index.url)
      if (answer.kind === 'absent') return 'no-place'
      return answer.kind === 'found' ? answer.page : answer.kind
    })
  }

  #askPage(index: PackageIndex, name: string): Promise<PageAnswer> {
    return this.#page(`${index.url}${name}/`)
  }

  async #page(url: string): Promise<PageAnswer> {
    const { freshMs = ANSWERS_FRESH_MS, isOffline = false, now = Date.now } = this.#options
    const key = `index-page 2 ${url}`
    const cached = readCached(await this.#cache?.get(key))
    const isFresh = cached !== undefined && (isOffline || isYoung(cached.head.fetchedMs, freshMs, now()))
    const kept = isFresh ? await intactPage(cached) : undefined
    if (kept !== undefined) return kept
    if (isOffline) return { kind: 'not-cached' }
    return this.#askAgain(url, key, isFresh ? undefined : cached)
  }

  /** @param cached what the index said before, for as long as it does not say otherwise */
  async #askAgain(url: string, key: string, cached: CachedPage | undefined): Promise<PageAnswer> {
    const { now = Date.now } = this.#options
    const validators = {
      ...(cached?.head.etag === undefined ? {} : { 'if-none-match': cached.head.etag }),
      ...(cached?.head.lastModified === undefined ? {} : { 'if-modified-since': cached.head.lastModified }),
    }
    // Unpacked here and not by the door: on another thread, and without a stream in between.
    const response = await this.#get(url, { accept: PAGE_TYPES, 'accept-encoding': 'gzip', ...validators })
    if (response.status === 304 && cached !== undefined) {
      await response.discard()
      const kept = await intactPage(cached)
      if (kept === undefined) return this.#askAgain(url, key, undefined)
      this.#store(key, () => writeCached({ head: { ...cached.head, fetchedMs: now() }, body: cached.body }))
      return kept
    }
    if (response.status !== 200) {
      await response.discard()
      if (response.status === 404 || response.status === 410) return { kind: 'absent' }
      // This index lies in an object store that answers 403 for what does not exist.
      if (response.status === 403 && url.startsWith(defaults.torchIndex)) return { kind: 'absent' }
      if (response.status === 401 || response.status === 403) return { kind: 'denied' }
      throw indexError(response.status, url)
    }
    const body = await response.bytes(PAGE_LIMIT_BYTES)
    const head = {
      url: withoutCredentials(response.url),
      contentType: response.header('content-type'),
      coding: response.header('content-encoding'),
      etag: response.header('etag'),
      lastModified: response.header('last-modified'),
      fetchedMs: now(),
    }
    const answer = await toPage({ head, body })
    this.#store(key, () => writeCached({ head, body }))
    return answer
  }

  async #askMetadata(file: IndexFile): Promise<string> {
    const key = metadataKey(file)
    const cached = key === undefined ? undefined : await this.#cache?.get(key)
    if (cached !== undefined) return cached.toString('utf8')
    if (this.#options.isOffline === true) {
      throw new BuildError('OFFLINE', `The metadata of ${file.filename} is not in the cache, and the network is off`, {
        hint: 'Resolve once with the network, or build from a lock.',
      })
    }
    const text = await fetchMetadata(file, this.remote)
    if (key !== undefined) this.#store(key, () => Buffer.from(text))
    return text
  }

  async #get(url: string, headers: Readonly<Record<string, string>>): Promise<HttpResponse> {
    const all = { ...headers, ...(await this.#headers(url)) }
    return this.#http({ url, headers: all, decode: false, signal: this.#signal })
  }

  #headers(url: string): Promise<Readonly<Record<string, string>>> {
    return this.#options.headers?.(url) ?? Promise.resolve({})
  }
}

/** The page of the busiest project has 20 MB. */
const PAGE_LIMIT_BYTES = 256 << 20

/** Why there is no page of links. */
type NoPage = 'no-place' | 'denied' | 'not-cached'

type PageAnswer =
  | { readonly kind: 'found'; readonly page: IndexPage }
  | { readonly kind: 'absent' | 'denied' | 'not-cached' }

/** @throws BuildError INDEX_FAILED for a coding that was not asked for, and for a page beyond all measure */
async function unpack(body: Buffer, coding: string | undefined, url: string): Promise<Buffer> {
  if (coding === undefined || coding === 'identity') return body
  try {
    if (coding === 'gzip' || coding === 'x-gzip')
      return await promisify(gunzip)(body, { maxOutputLength: PAGE_LIMIT_BYTES })
  } catch (cause) {
    throw new BuildError('INDEX_FAILED', `The page does not unpack: ${maskUrl(url)}`, { cause })
  }
  throw new BuildError('INDEX_FAILED', `The page is packed as ${coding}, which was not asked for: ${maskUrl(url)}`)
}

/**
 * By the place as well as the hash: that the wheel has this hash is what its index says, and nobody has looked yet. By the hash
 * alone, one index could say what another's wheel requires. A query is left out, since it may be a token that changes.
 */
function metadataKey({ url, hashes: { sha256 } }: IndexFile): string | undefined {
  return sha256 === undefined ? undefined : `wheel-metadata 2 ${sha256} ${/^[^?#]*/.exec(url)?.[0] ?? ''}`
}

interface CachedPage {
  readonly head: {
    readonly url: string
    readonly contentType?: string | undefined
    /** How the body is packed: it is kept as it came. */
    readonly coding?: string | undefined
    readonly etag?: string | undefined
    readonly lastModified?: string | undefined
    readonly fetchedMs: number
  }
  readonly body: Buffer
}

async function toPage({ head, body }: CachedPage): Promise<PageAnswer> {
  const text = await unpack(body, head.coding, head.url)
  return { kind: 'found', page: parsePage(text, head.contentType, head.url) }
}

/** A damaged entry is as good as none. */
async function intactPage(cached: CachedPage): Promise<PageAnswer | undefined> {
  try {
    return await toPage(cached)
  } catch (error) {
    if (error instanceof BuildError) return undefined
    throw error
  }
}

// One line of JSON, then the body: writing costs no second encoding of megabytes.
function writeCached({ head, body }: CachedPage): Buffer {
  return Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), body])
}

function readCached(bytes: Buffer | undefined): CachedPage | undefined {
  const end = bytes?.indexOf(10) ?? -1
  if (bytes === undefined || end === -1) return undefined
  try {
    return { head: JSON.parse(bytes.toString('utf8', 0, end)) as CachedPage['head'], body: bytes.subarray(end + 1) }
  } catch {
    // A damaged entry is as good as none.
    return undefined
  }
}

function withoutCredentials(url: string): string {
  const parsed = new URL(url)
  parsed.username = ''
  parsed.password = ''
  return parsed.href
}

function remember<T>(known: Map<string, Promise<T>>, key: string, ask: () => Promise<T>): Promise<T> {
  let answer = known.get(key)
  if (answer === undefined) {
    answer = ask()
    // Who asked ahead may never wait for it; who waits gets the rejection all the same.
    answer.catch(() => {})
    known.set(key, answer)
  }
  return answer
}
