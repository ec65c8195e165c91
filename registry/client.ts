import { isDigest, type Descriptor, type Digest } from 'oci-spec-types'
import { BuildError, isBuildError } from '../src/core/errors.ts'
import type { Open } from '../src/core/bytes.ts'
import type { HttpResponse } from '../src/core/http.ts'
import { checkBase } from './api-base.ts'
import type { Challenge } from './challenge.ts'
import { openDownload, type Part } from './download.ts'
import { registryError, RegistryError } from './errors.ts'
import type { RawManifest } from './manifest.ts'
import { describeManifest, fetchManifest, storeManifest } from './manifests.ts'
import type { Patience } from './patience.ts'
import { keepReferrer, listReferrers } from './referrers.ts'
import { Remote, type RemoteOptions } from './remote.ts'
import { isUntagged, listTags } from './tags.ts'
import { uploadStream, type PushedStream, type StreamedBlob } from './stream-upload.ts'
import { isWorthAHead, uploadBlob, type PushedBlob, type PushOutcome } from './upload.ts'
import type { UploadTarget } from './upload-session.ts'

/** What a {@link RegistryClient} works with. */
export interface ClientOptions {
  /** In references: `docker.io`. */
  readonly registry: string
  readonly repository: string
  /** The registry itself. */
  readonly origin: RemoteOptions
  /** Asked first when reading, in this order. */
  readonly mirrors: readonly RemoteOptions[]
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

/** How a stream is pushed. */
export interface PushStreamOptions {
  readonly onBytes?: ((bytes: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

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
  readonly #origin: Remote
  readonly #mirrors: readonly Remote[]
  /** Repositories that mounts failed from, so that no second request is wasted on them. */
  readonly #unmountable = new Set<string>()
  #hasMounted = false

  constructor(options: ClientOptions) {
    const { registry, repository, access, signal } = options
    const name = `${registry}/${repository}`
    this.registry = registry
    this.repository = repository
    this.#options = options
    this.#origin = new Remote(options.origin, { name, signal, scopes: scopesOf(options.origin.repository, access) })
    this.#mirrors = (access.actions === 'pull' ? options.mirrors : []).map(
      (mirror) => new Remote(mirror, { name, signal, scopes: scopesOf(mirror.repository, { actions: 'pull' }) }),
    )
  }

  /**
   * Reads a manifest or index.
   *
   * @param reference a tag or a digest
   * @throws RegistryError IMAGE_NOT_FOUND, REGISTRY_DENIED, ...; BuildError DIGEST_MISMATCH, IMAGE_INVALID, NOT_SUPPORTED
   */
  getManifest(reference: string): Promise<RawManifest> {
    return this.#read(reference, (remote) => fetchManifest(remote, reference))
  }

  /** Names what a tag or digest means without reading it; undefined when there is no such manifest. */
  async headManifest(reference: string): Promise<Descriptor | undefined> {
    try {
      return await this.#read(reference, (remote) => describeManifest(remote, reference))
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
    const response = await storeManifest(this.#origin, reference, manifest)
    if (response !== undefined) await keepReferrer(this.#origin, manifest, response)
  }

  /** Deletes a manifest by digest, or a tag. @throws RegistryError */
  async deleteManifest(reference: string): Promise<void> {
    await this.#delete(`/manifests/${reference}`, reference)
  }

  /** Deletes a blob. @throws RegistryError */
  async deleteBlob(digest: Digest): Promise<void> {
    await this.#delete(`/blobs/${digest}`, digest)
  }

  /**
   * A blob's size, when the registry tells it; undefined when the blob is absent.
   *
   * @throws RegistryError when it answers nothing but that it is asked too often
   */
  async headBlob(digest: string): Promise<{ readonly size: number | undefined } | undefined> {
    const response = await this.#origin.send({ method: 'HEAD', path: `/blobs/${digest}`, decode: false })
    if (response.status === 429) throw await registryError(response, { method: 'HEAD', what: 'look for a blob' })
    await response.discard()
    if (response.status !== 200) return undefined
    const length = response.header('content-length')
    return { size: length === undefined ? undefined : Number(length) }
  }

  /** The bytes of a blob; a broken connection goes on where it stopped. Not verified: see {@link openDownload}. */
  openBlob(descriptor: Pick<Descriptor, 'digest' | 'size'>): Open {
    const path = `/blobs/${descriptor.digest}`
    const get = (part: Part): Promise<HttpResponse> =>
      this.#read(descriptor.digest, async (remote) => {
        const response = await remote.send({ method: 'GET', path, decode: false, ...part })
        if (response.status === 200 || response.status === 206 || response.status === 416) return response
        throw await registryError(response, { method: 'GET', what: `read a blob of ${remote.name}` })
      })
    return openDownload({ get, descriptor, patience: this.#options.patience })
  }

  /**
   * Makes a blob be in this repository with as little traffic as possible.
   *
   * A mount is tried first: from the repository that has the blob, or from this one itself, which is question and start of
   * the upload in one request. When the registry does not mount, its answer is the upload location.
   *
   * @throws RegistryError; BuildError DIGEST_MISMATCH, SIZE_MISMATCH when the source gives other bytes
   */
  pushBlob(blob: PushedBlob, options: PushBlobOptions = {}): Promise<PushOutcome> {
    return this.#origin.connection.uploads(() => this.#pushBlob(blob, options))
  }

  async #pushBlob(blob: PushedBlob, options: PushBlobOptions): Promise<PushOutcome> {
    const { digest } = blob.descriptor
    const from = options.from ?? this.#origin.repository
    if (this.#unmountable.has(from)) return this.#ensureBlob(blob, options)
    const started = await this.#mount(digest, from)
    if (started === 'mounted') return from === this.#origin.repository ? 'exists' : 'mounted'
    if (started === 'failed') return this.#ensureBlob(blob, options)
    // Registries that never mount would be sent again what they have.
    const mustAsk = isWorthAHead(blob) && !this.#hasMounted
    if (mustAsk && (await this.headBlob(digest)) !== undefined) return 'exists'
    return uploadBlob(this.#target(options), blob, started)
  }

  /** Makes a blob be here without believing a mount: asked for by name, uploaded when absent. */
  ensureBlob(blob: PushedBlob, options: Pick<PushBlobOptions, 'onBytes'> = {}): Promise<PushOutcome> {
    return this.#origin.connection.uploads(() => this.#ensureBlob(blob, options))
  }

  async #ensureBlob(blob: PushedBlob, options: Pick<PushBlobOptions, 'onBytes'>): Promise<PushOutcome> {
    if ((await this.headBlob(blob.descriptor.digest)) !== undefined) return 'exists'
    return uploadBlob(this.#target(options), blob)
  }

  /**
   * Uploads a blob while it is being made, and tells what it turned out to be. Nothing is asked before: what has no digest
   * yet cannot be known to be there.
   *
   * @throws RegistryError; what the source throws; nothing of the blob is then in the repository
   */
  pushStream(stream: PushedStream, options: PushStreamOptions = {}): Promise<StreamedBlob> {
    return this.#origin.connection.uploads(() => uploadStream(this.#target(options), stream))
  }

  /** Mounts a blob from another repository of the same registry; false when the registry does not. */
  async mountBlob(digest: Digest, from: string): Promise<boolean> {
    const started = await this.#mount(digest, from)
    if (started !== 'mounted' && started !== 'failed') await started.discard()
    return started === 'mounted'
  }

  /** All tags, page by page. Entries that are no tags (null, digests) are left out. @throws RegistryError */
  tags(): AsyncGenerator<string> {
    return listTags(this.#origin)
  }

  /** Whether there is nothing in the repository that a tag names. @throws RegistryError when it may not be asked */
  isNew(): Promise<boolean> {
    return isUntagged(this.#origin)
  }

  /**
   * Manifests that refer to another one (signatures, SBOMs), by the referrers API or by the tag that stands in for it.
   *
   * @param artifactType only these
   */
  referrers(digest: Digest, artifactType?: string): Promise<readonly Descriptor[]> {
    return listReferrers(this.#origin, digest, artifactType)
  }

  /** Address of the API, and how the server wanted to be proven to when it was asked. */
  get server(): { readonly url: string; readonly challenge: Challenge | undefined } {
    const { connection } = this.#origin
    return { url: connection.url('/'), challenge: connection.challenge }
  }

  /**
   * Asks the registry whether it accepts the credentials, without naming a repository.
   *
   * @param isNew whether somebody has just typed them in: then it is of no use to say how to log in
   * @throws RegistryError REGISTRY_DENIED; BuildError REGISTRY_FAILED when something else answers there, such as the page on
   *   which a network wants a login of its own
   */
  async checkLogin(isNew = false): Promise<void> {
    await checkBase(this.#origin.connection, { registry: this.registry, isNew, signal: this.#options.signal })
  }

  /** `mounted`; `failed` when mounting is of no use here; else the answer with the upload location. */
  async #mount(digest: string, from: string): Promise<'mounted' | 'failed' | HttpResponse> {
    // The slash of `from` stays a slash: a registry is known that takes %2F literally.
    const path = `/blobs/uploads/?mount=${encodeURIComponent(digest)}&from=${from}`
    let response: HttpResponse
    try {
      // Sent once (but for a 429): what a mount cannot do, an upload can, and its start is tried as often as it takes.
      response = await this.#origin.send({ method: 'POST', path, retry: false })
    } catch (error) {
      if (isBuildError(error, 'NETWORK_FAILED')) return 'failed'
      throw error
    }
    if (response.status === 202 && response.header('location') !== undefined) return response
    // The next request would be refused as well.
    if (response.status === 429) throw await registryError(response, { method: 'POST', what: 'push a blob' })
    await response.discard()
    if (response.status === 201) {
      this.#hasMounted = true
      return 'mounted'
    }
    const isTransient = response.status === 408 || response.status >= 500
    if (!isTransient) this.#unmountable.add(from)
    return 'failed'
  }

  #target({ onBytes, signal = this.#options.signal }: PushStreamOptions): UploadTarget {
    const { patience } = this.#options
    return {
      remote: this.#origin,
      patience,
      signal,
      has: async (digest) => (await this.headBlob(digest)) !== undefined,
      onBytes,
    }
  }

  async #delete(path: string, reference: string): Promise<void> {
    const response = await this.#origin.send({ method: 'DELETE', path })
    if (response.status !== 202 && response.status !== 200 && response.status !== 204) {
      const what = `delete ${this.#origin.at(reference)}`
      throw await registryError(
        response,
        { method: 'DELETE', what },
        { hint: refusedDelete(response.status, reference) },
      )
    }
    await response.discard()
  }

  /** Asks the mirrors, then the registry; a mirror's failure is told and passed over. */
  async #read<T>(reference: string, ask: (remote: Remote) => Promise<T>): Promise<T> {
    for (const mirror of this.#mirrors) {
      if (!mirror.resolvesTags && !isDigest(reference)) continue
      try {
        return await ask(mirror)
      } catch (error) {
        if (!(error instanceof BuildError) || this.#options.signal?.aborted) throw error
        this.#options.onMirrorFailure?.(mirror.connection.endpoint.host, error)
      }
    }
    return ask(this.#origin)
  }
}

/** Registries may delete nothing, or images but no tags (distribution-spec, "Content Management"). */
function refusedDelete(status: number, reference: string): string | undefined {
  if (status !== 405 && status !== 400) return undefined
  return isDigest(reference)
    ? 'The registry does not delete, or must be told to (docker-registry: `storage.delete.enabled`).'
    : 'The registry may not delete tags. Delete the image by its digest, which takes away every tag that it has.'
}

function scopesOf(repository: string, { actions, mountFrom = [] }: Access): readonly string[] {
  const own = { pull: 'pull', push: 'pull,push', delete: 'delete' }[actions]
  const others = [...new Set(mountFrom)].filter((name) => name !== repository).sort()
  return [`repository:${repository}:${own}`, ...others.map((name) => `repository:${name}:pull`)]
}
