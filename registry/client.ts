import { isDigest, digestAlgorithm, digestHex, OCI, type Descriptor, type Digest } from 'oci-spec-types'
import { indexSchema } from 'oci-spec-types/schemas'
import { BuildError, isBuildError } from '../src/core/errors.ts'
import type { Open } from '../src/core/bytes.ts'
import { maskUrl, type HttpResponse } from '../src/core/http.ts'
import type { Connection, RegistryRequest } from './connection.ts'
import { openDownload } from './download.ts'
import { registryError, RegistryError } from './errors.ts'
import { ACCEPT_MANIFESTS, assertDigest, MANIFEST_LIMIT, readManifest, type RawManifest } from './manifest.ts'
import type { Patience } from './patience.ts'
import { isTag } from './reference.ts'
import { isWorthAHead, uploadBlob, type PushedBlob, type PushOutcome, type UploadTarget } from './upload.ts'

/** A repository on one server; a mirror may keep it under another name. */
export interface Remote {
  readonly connection: Connection
  readonly repository: string
  /** Added to requests, such as containerd's `ns=docker.io`. */
  readonly query?: string | undefined
  /** Whether tags may be asked for here, or digests only. */
  readonly resolvesTags?: boolean | undefined
}

/** What a {@link RegistryClient} works with. */
export interface ClientOptions {
  /** In references: `docker.io`. */
  readonly registry: string
  readonly repository: string
  /** The registry itself. */
  readonly origin: Remote
  /** Asked first when reading, in this order. */
  readonly mirrors: readonly Remote[]
  readonly access: Access
  readonly patience: Patience
  readonly signal?: AbortSignal | undefined
  /** Called when a mirror fails and the next is asked. */
  readonly onMirrorFailure?: ((host: string, error: unknown) => void) | undefined
}

/** What will be done, so that one token serves for all of it. */
export interface Access {
  readonly actions: 'pull' | 'push' | 'delete'
  /** Repositories of the same registry that blobs are mounted from. */
  readonly mountFrom?: readonly string[] | undefined
}

/** How a blob is pushed. */
export interface PushBlobOptions {
  /** A repository of the same registry that has the blob. */
  readonly from?: string | undefined
  readonly onBytes?: ((bytes: number) => void) | undefined
}

const TAG_PAGES_LIMIT = 10_000
/** Amazon ECR refuses more. */
const TAGS_PER_PAGE = 1000
const OCI_REFUSED_HINT = 'Old registries know no OCI images: try `--format docker`.'
const TAG_LIST_LIMIT = 32 << 20

/**
 * One repository of a registry.
 *
 * Reading asks the mirrors first; writing goes to the registry itself. All methods may be called at the same time.
 *
 * @example
 * const client = registries.client(parseReference('ghcr.io/owner/model:v1'), { actions: 'pull' })
 * const { descriptor, bytes } = await client.getManifest('v1')
 */
export class RegistryClient {
  readonly registry: string
  readonly repository: string
  readonly #options: ClientOptions
  readonly #scopes: readonly string[]
  /** Repositories that mounts failed from, so that no second request is wasted on them. */
  readonly #unmountable = new Set<string>()
  #hasMounted = false

  constructor(options: ClientOptions) {
    this.#options = options
    this.registry = options.registry
    this.repository = options.repository
    this.#scopes = scopesOf(options.repository, options.access)
  }

  /** Where requests go, for messages: `host/repository`. */
  get name(): string {
    return `${this.registry}/${this.repository}`
  }

  /**
   * Reads a manifest or index.
   *
   * @param reference a tag or a digest
   * @throws RegistryError IMAGE_NOT_FOUND, REGISTRY_DENIED, ...; BuildError DIGEST_MISMATCH, IMAGE_INVALID, NOT_SUPPORTED
   */
  getManifest(reference: string): Promise<RawManifest> {
    return this.#pull(reference, (remote) => this.#getManifest(remote, reference))
  }

  /** Names what a tag or digest means without reading it; undefined when there is no such manifest. */
  async headManifest(reference: string): Promise<Descriptor | undefined> {
    try {
      return await this.#pull(reference, (remote) => this.#headManifest(remote, reference))
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404) return undefined
      throw error
    }
  }

  /**
   * Writes a manifest. Every blob and manifest it names must be there.
   *
   * @param reference a tag or the digest of the bytes
   * @throws RegistryError; BuildError DIGEST_MISMATCH when the registry says it stored something else
   */
  async putManifest(reference: string, manifest: RawManifest): Promise<void> {
    const { descriptor, bytes } = manifest
    const response = await this.#send(this.#options.origin, {
      method: 'PUT',
      path: `/manifests/${reference}`,
      headers: { 'content-type': descriptor.mediaType },
      body: bytes,
    })
    if (response.status !== 201 && response.status !== 202) {
      const isOci = descriptor.mediaType.startsWith('application/vnd.oci.')
      const hint = isOci && (response.status === 400 || response.status === 415) ? OCI_REFUSED_HINT : undefined
      const error = await registryError(response, { method: 'PUT', what: `push ${this.#at(reference)}` }, { hint })
      // An immutable tag that already means this very image is what was wanted.
      const isSame = error.status < 500 && !isDigest(reference) && (await this.#means(reference, descriptor.digest))
      if (isSame) return
      throw error
    }
    await response.discard()
    const stored = response.header('docker-content-digest')
    if (
      stored !== undefined &&
      isDigest(stored) &&
      sameAlgorithm(stored, descriptor.digest) &&
      stored !== descriptor.digest
    )
      throw new BuildError(
        'DIGEST_MISMATCH',
        `The registry stored ${stored} instead of ${descriptor.digest}: ${this.#at(reference)}`,
      )
    await this.#keepReferrer(manifest, response)
  }

  /** Deletes a manifest by digest, or a tag. @throws RegistryError */
  async deleteManifest(reference: string): Promise<void> {
    await this.#delete(`/manifests/${reference}`, reference)
  }

  /** Deletes a blob. @throws RegistryError */
  async deleteBlob(digest: Digest): Promise<void> {
    await this.#delete(`/blobs/${digest}`, digest)
  }

  /** A blob's size, when the registry tells it; undefined when the blob is absent. */
  async headBlob(
    digest: string,
    signal = this.#options.signal,
  ): Promise<{ readonly size: number | undefined } | undefined> {
    const path = `/blobs/${digest}`
    const { origin } = this.#options
    const response = await this.#send(origin, { method: 'HEAD', path, decode: false, signal })
    await response.discard()
    if (response.status !== 200) return undefined
    const length = response.header('content-length')
    return { size: length === undefined ? undefined : Number(length) }
  }

  /** The bytes of a blob; a broken connection goes on where it stopped. Not verified: see {@link openDownload}. */
  openBlob(descriptor: Pick<Descriptor, 'digest' | 'size'>): Open {
    const { patience } = this.#options
    const get = (range: string | undefined, signal: AbortSignal | undefined): Promise<HttpResponse> =>
      this.#pull(descriptor.digest, async (remote) => {
        const response = await this.#send(remote, {
          method: 'GET',
          path: `/blobs/${descriptor.digest}`,
          decode: false,
          signal: signal ?? this.#options.signal,
          ...(range === undefined ? {} : { headers: { range } }),
        })
        if (response.status === 200 || response.status === 206 || response.status === 416) return response
        throw await registryError(response, { method: 'GET', what: `read a blob of ${this.name}` })
      })
    return openDownload({ get, descriptor, patience })
  }

  /**
   * Makes a blob be in this repository with as little traffic as possible.
   *
   * A mount is tried first: from the repository that has the blob, or from this one itself, which is question and start of
   * the upload in one request. When the registry does not mount, its answer is the upload location.
   *
   * @throws RegistryError; BuildError DIGEST_MISMATCH, SIZE_MISMATCH when the source gives other bytes
   */
  async pushBlob(blob: PushedBlob, options: PushBlobOptions = {}): Promise<PushOutcome> {
    const { digest } = blob.descriptor
    const from = options.from ?? this.repository
    const target = this.#target(options)
    if (this.#unmountable.has(from)) {
      return (await this.headBlob(digest)) === undefined ? uploadBlob(target, blob) : 'exists'
    }
    const started = await this.#mount(digest, from)
    if (started === 'mounted') return from === this.repository ? 'exists' : 'mounted'
    // Registries that never mount would be sent again what they have.
    const mustAsk = started === 'failed' || (isWorthAHead(blob) && !this.#hasMounted)
    if (mustAsk && (await this.headBlob(digest)) !== undefined) return 'exists'
    return uploadBlob(target, blob, started === 'failed' ? undefined : started)
  }

  /** Makes a blob be here without believing a mount: asked for by name, uploaded when absent. */
  async ensureBlob(blob: PushedBlob, options: Pick<PushBlobOptions, 'onBytes'> = {}): Promise<PushOutcome> {
    if ((await this.headBlob(blob.descriptor.digest)) !== undefined) return 'exists'
    return uploadBlob(this.#target(options), blob)
  }

  /**
   * Asks the registry whether it accepts the credentials, without naming a repository.
   *
   * @throws RegistryError REGISTRY_DENIED
   */
  async checkLogin(): Promise<void> {
    const { connection } = this.#options.origin
    const response = await connection.send({ method: 'GET', path: '/', scopes: [] })
    if (response.status !== 200)
      throw await registryError(response, { method: 'GET', what: `log in to ${this.registry}` })
    await response.discard()
  }

  /** Mounts a blob from another repository of the same registry; false when the registry does not. */
  async mountBlob(digest: Digest, from: string): Promise<boolean> {
    const started = await this.#mount(digest, from)
    if (started !== 'mounted' && started !== 'failed') await started.discard()
    return started === 'mounted'
  }

  /** All tags, page by page. Entries that are no tags (null, digests) are left out. @throws RegistryError */
  async *tags(): AsyncGenerator<string> {
    const { origin } = this.#options
    let path: string | undefined = `/tags/list?n=${TAGS_PER_PAGE}`
    const seen = new Set<string>()
    for (let page = 0; path !== undefined && page < TAG_PAGES_LIMIT; page++) {
      const response: HttpResponse = await this.#send(origin, { method: 'GET', path })
      if (response.status !== 200)
        throw await registryError(response, { method: 'GET', what: `list the tags of ${this.name}` })
      for (const tag of await readTags(response)) yield tag
      path = nextPage(response, origin.connection.origin)
      if (path !== undefined && seen.has(path)) return
      if (path !== undefined) seen.add(path)
    }
  }

  /**
   * Manifests that refer to another one (signatures, SBOMs), by the referrers API or by the tag that stands in for it.
   *
   * @param artifactType only these
   */
  async referrers(digest: Digest, artifactType?: string): Promise<readonly Descriptor[]> {
    const { origin } = this.#options
    const query = artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(artifactType)}`
    const found: Descriptor[] = []
    let path: string | undefined = `/referrers/${digest}${query}`
    while (path !== undefined) {
      const response: HttpResponse = await this.#send(origin, { method: 'GET', path, headers: { accept: OCI.index } })
      if (response.status === 404 || response.status === 400 || response.status === 405) {
        await response.discard()
        found.push(...(await this.#referrersTag(digest)))
        break
      }
      if (response.status !== 200)
        throw await registryError(response, { method: 'GET', what: `list what refers to ${this.name}@${digest}` })
      found.push(...readReferrers(await response.bytes(MANIFEST_LIMIT), maskUrl(response.url)))
      path = nextPage(response, origin.connection.origin)
    }
    // A registry may filter or not; it says so in a header that proxies drop.
    return artifactType === undefined ? found : found.filter((entry) => entry.artifactType === artifactType)
  }

  async #getManifest(remote: Remote, reference: string, tries = 1): Promise<RawManifest> {
    const response = await this.#send(remote, {
      method: 'GET',
      path: `/manifests/${reference}`,
      headers: { accept: ACCEPT_MANIFESTS },
    })
    const where = this.#at(reference)
    if (response.status !== 200) throw await registryError(response, { method: 'GET', what: `read ${where}` })
    const declared = response.header('docker-content-digest')
    const bytes = await response.bytes(MANIFEST_LIMIT)
    try {
      const expected = isDigest(reference)
        ? reference
        : declared !== undefined && isDigest(declared)
          ? declared
          : undefined
      const algorithm = isDigest(reference) ? digestAlgorithm(reference) : 'sha256'
      const manifest = readManifest(bytes, response.header('content-type'), where, algorithm)
      if (expected !== undefined) assertDigest(manifest, expected, where)
      return manifest
    } catch (error) {
      // Damaged on the way, perhaps: once more, then it is the registry's own.
      const isDamaged = isBuildError(error, 'DIGEST_MISMATCH') || isBuildError(error, 'IMAGE_INVALID')
      if (!isDamaged || tries > 1) throw error
      return this.#getManifest(remote, reference, tries + 1)
    }
  }

  async #headManifest(remote: Remote, reference: string): Promise<Descriptor> {
    const response = await this.#send(remote, {
      method: 'HEAD',
      path: `/manifests/${reference}`,
      headers: { accept: ACCEPT_MANIFESTS },
    })
    await response.discard()
    const digest = response.header('docker-content-digest')
    const mediaType = response.header('content-type')?.split(';')[0]?.trim()
    const size = Number(response.header('content-length') ?? 0)
    const isNamed = digest !== undefined && isDigest(digest) && (!isDigest(reference) || digest === reference)
    if (response.status === 200 && isNamed && mediaType !== undefined && size > 0) return { mediaType, digest, size }
    if (response.status === 404)
      throw await registryError(response, { method: 'HEAD', what: `find ${this.#at(reference)}` })
    // Some registries know no HEAD (403, 405) or leave the headers out: what GET says counts, its error has a text too.
    return (await this.#getManifest(remote, reference)).descriptor
  }

  /** `mounted`; `failed` when mounting is of no use here; else the answer with the upload location. */
  async #mount(digest: string, from: string): Promise<'mounted' | 'failed' | HttpResponse> {
    const { origin } = this.#options
    // The slash of `from` stays a slash: a registry is known that takes %2F literally.
    const query = `mount=${encodeURIComponent(digest)}&from=${from}`
    let response: HttpResponse
    try {
      // Sent once: what a mount cannot do, an upload can, and its start is tried as often as it takes.
      response = await this.#send(origin, { method: 'POST', path: `/blobs/uploads/?${query}`, retry: false })
    } catch (error) {
      if (isBuildError(error, 'NETWORK_FAILED')) return 'failed'
      throw error
    }
    if (response.status === 202 && response.header('location') !== undefined) return response
    await response.discard()
    if (response.status === 201) {
      this.#hasMounted = true
      return 'mounted'
    }
    const isTransient = response.status === 408 || response.status === 429 || response.status >= 500
    if (!isTransient) this.#unmountable.add(from)
    return 'failed'
  }

  #target(options: PushBlobOptions): UploadTarget {
    const { origin, patience, signal } = this.#options
    return {
      connection: origin.connection,
      repository: origin.repository,
      scopes: this.#scopes,
      patience,
      signal,
      headBlob: (digest) => this.headBlob(digest),
      onBytes: options.onBytes,
    }
  }

  /** Without the referrers API, the list of referrers is an index under a tag (distribution-spec, "Referrers Tag Schema"). */
  async #keepReferrer(manifest: RawManifest, response: HttpResponse): Promise<void> {
    if (response.header('oci-subject') !== undefined) return
    const document = JSON.parse(manifest.bytes.toString('utf8')) as {
      subject?: { digest?: unknown }
      artifactType?: string
      config?: { mediaType?: string }
      annotations?: Record<string, string>
    }
    const subject = document.subject?.digest
    if (typeof subject !== 'string' || !isDigest(subject)) return
    const known = await this.#referrersTag(subject)
    if (known.some(({ digest }) => digest === manifest.descriptor.digest)) return
    const artifactType = document.artifactType ?? document.config?.mediaType
    const entry: Descriptor = {
      ...manifest.descriptor,
      ...(artifactType === undefined ? {} : { artifactType }),
      ...(document.annotations === undefined ? {} : { annotations: document.annotations }),
    }
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI.index, manifests: [...known, entry] }))
    await this.putManifest(referrersTag(subject), readManifest(bytes, OCI.index, this.name))
  }

  async #referrersTag(digest: Digest): Promise<readonly Descriptor[]> {
    try {
      const { bytes } = await this.#getManifest(this.#options.origin, referrersTag(digest))
      return readReferrers(bytes, this.name)
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404) return []
      throw error
    }
  }

  async #means(tag: string, digest: Digest): Promise<boolean> {
    try {
      return (await this.#headManifest(this.#options.origin, tag)).digest === digest
    } catch (error) {
      if (error instanceof RegistryError) return false
      throw error
    }
  }

  async #delete(path: string, reference: string): Promise<void> {
    const response = await this.#send(this.#options.origin, { method: 'DELETE', path })
    if (response.status !== 202 && response.status !== 200 && response.status !== 204)
      throw await registryError(response, { method: 'DELETE', what: `delete ${this.#at(reference)}` })
    await response.discard()
  }

  /** Asks the mirrors, then the registry; a mirror's failure is told and passed over. */
  async #pull<T>(reference: string, ask: (remote: Remote) => Promise<T>): Promise<T> {
    const { mirrors, origin, access } = this.#options
    const usable = access.actions === 'pull' ? mirrors : []
    for (const mirror of usable) {
      if (mirror.resolvesTags === false && !isDigest(reference)) continue
      try {
        return await ask(mirror)
      } catch (error) {
        if (!(error instanceof BuildError) || this.#options.signal?.aborted) throw error
        this.#options.onMirrorFailure?.(mirror.connection.endpoint.host, error)
      }
    }
    return ask(origin)
  }

  /** `path` is below the repository, or a whole URL. */
  #send(remote: Remote, request: Omit<RegistryRequest, 'scopes'>): Promise<HttpResponse> {
    const isBelow = request.path.startsWith('/')
    const bare = isBelow ? `/${remote.repository}${request.path}` : request.path
    const path =
      remote.query === undefined || !isBelow ? bare : `${bare}${bare.includes('?') ? '&' : '?'}${remote.query}`
    const scopes = remote === this.#options.origin ? this.#scopes : [`repository:${remote.repository}:pull`]
    return remote.connection.send({ signal: this.#options.signal, ...request, path, scopes })
  }

  #at(reference: string): string {
    return `${this.name}${isDigest(reference) ? '@' : ':'}${reference}`
  }
}

function scopesOf(repository: string, { actions, mountFrom = [] }: Access): readonly string[] {
  const own = { pull: 'pull', push: 'pull,push', delete: 'delete' }[actions]
  const others = [...new Set(mountFrom)].filter((name) => name !== repository).sort()
  return [`repository:${repository}:${own}`, ...others.map((name) => `repository:${name}:pull`)]
}

function referrersTag(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}`.slice(0, 128)
}

async function readTags(response: HttpResponse): Promise<string[]> {
  let document: unknown
  try {
    document = JSON.parse(String(await response.bytes(TAG_LIST_LIMIT)))
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new BuildError('REGISTRY_FAILED', `The list of tags is not JSON: ${maskUrl(response.url)}`, { cause: error })
  }
  const tags = (document as { tags?: unknown } | null)?.tags
  // Nexus lists nulls, Artifactory digests.
  return Array.isArray(tags) ? tags.filter((tag): tag is string => typeof tag === 'string' && isTag(tag)) : []
}

function readReferrers(bytes: Buffer, where: string): readonly Descriptor[] {
  let document: unknown
  try {
    document = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw new BuildError('REGISTRY_FAILED', `The list of referrers is not JSON: ${where}`, { cause: error })
  }
  const parsed = indexSchema.safeParse(document)
  if (!parsed.success) throw new BuildError('REGISTRY_FAILED', `The list of referrers is no index: ${where}`)
  return parsed.data.manifests
}

/** `Link: <...>; rel="next"`, followed on the same origin only (RFC 8288). */
function nextPage(response: HttpResponse, origin: string): string | undefined {
  const target = /<([^>]*)>\s*;[^,]*\brel="?next"?/i.exec(response.header('link') ?? '')?.[1]
  if (target === undefined || !URL.canParse(target, response.url)) return undefined
  const url = new URL(target, response.url)
  return url.origin === origin ? url.href : undefined
}

function sameAlgorithm(a: Digest, b: Digest): boolean {
  return digestAlgorithm(a) === digestAlgorithm(b)
}
