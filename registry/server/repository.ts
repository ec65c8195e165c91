import { isIndexMediaType, type Annotations, type Descriptor, type Digest } from 'oci-spec-types'
import { indexSchema, manifestSchema } from 'oci-spec-types/schemas'
import { collect } from '../../src/core/bytes.ts'
import { contentsOf, indexOf, NOTHING, sortedTags, withManifest, withoutManifest, withoutTag } from './contents.ts'
import type { Contents } from './contents.ts'
import type { ManifestReference } from './names.ts'
import { MAX_MANIFEST_BYTES, type Storage } from './storage.ts'

/** A change that waits for its turn, together with those that came in meanwhile. */
interface Change {
  readonly apply: (contents: Contents) => Contents
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * The manifests, tags and referrers of one repository.
 *
 * Reads see the last index that was written, by this process or by another program. Changes that arrive while one is
 * being written are written together, so that many pushes at once cost few writes of the index.
 */
export class Repository {
  readonly name: string
  readonly #storage: Storage
  #version: string | undefined
  #contents: Contents = NOTHING
  /** Manifests never change, so neither does what they refer to; null when they refer to nothing. */
  readonly #subjects = new Map<Digest, Digest | null>()
  readonly #changes: Change[] = []
  #isWriting = false

  constructor(storage: Storage, name: string) {
    this.#storage = storage
    this.name = name
  }

  /** What the repository holds now; undefined when it holds nothing and never did. */
  async contents(): Promise<Contents | undefined> {
    const stored = await this.#storage.readIndex(this.name, this.#version)
    if (stored === undefined) {
      this.#version = undefined
      this.#contents = NOTHING
      return undefined
    }
    if (stored !== 'unchanged') {
      this.#version = stored.version
      this.#contents = contentsOf(stored.index)
    }
    return this.#contents
  }

  /** The manifest of a tag or digest. */
  async find(reference: ManifestReference): Promise<Descriptor | undefined> {
    const contents = await this.contents()
    if (contents === undefined) return undefined
    const digest = reference.kind === 'digest' ? reference.digest : contents.tags.get(reference.tag)
    if (digest === undefined) return undefined
    return contents.manifests.get(digest) ?? (await this.#findChild(contents, digest))
  }

  /** The tags in order. */
  async tags(): Promise<string[] | undefined> {
    const contents = await this.contents()
    return contents === undefined ? undefined : sortedTags(contents).map(([tag]) => tag)
  }

  /** Adds a manifest whose bytes are stored, and points tags at it. */
  async put(descriptor: Descriptor, tags: readonly string[]): Promise<void> {
    await this.#change((contents) => withManifest(contents, descriptor, tags))
  }

  /** @returns whether the tag was there */
  async untag(tag: string): Promise<boolean> {
    if ((await this.contents())?.tags.has(tag) !== true) return false
    await this.#change((contents) => withoutTag(contents, tag))
    return true
  }

  /** Takes a manifest away with its tags and its bytes. @returns whether it was there */
  async remove(digest: Digest): Promise<boolean> {
    const found = await this.find({ kind: 'digest', digest })
    if (found === undefined) return false
    await this.#change((contents) => withoutManifest(contents, digest))
    await this.#storage.remove(this.name, digest)
    return true
  }

  /**
   * The manifests that name this one as their subject, described as the referrers API wants them, in the order of
   * their digests.
   */
  async *referrers(subject: Digest): AsyncGenerator<Descriptor> {
    const contents = await this.contents()
    for (const digest of [...(contents?.manifests.keys() ?? [])].sort()) {
      if ((await this.#subjectOf(digest)) !== subject) continue
      const described = describeReferrer(await this.#readManifest(digest))
      const descriptor = contents?.manifests.get(digest)
      if (descriptor === undefined) continue
      const { mediaType, size } = descriptor
      yield { mediaType, digest, size, ...described }
    }
  }

  /** The bytes of a manifest; undefined when they are not there. */
  async #readManifest(digest: Digest): Promise<ParsedManifest | undefined> {
    const blob = await this.#storage.open(this.name, digest)
    if (blob === undefined) return undefined
    try {
      return parseManifest(await collect(blob.stream(0, blob.sizeBytes), MAX_MANIFEST_BYTES))
    } finally {
      await blob.close()
    }
  }

  async #subjectOf(digest: Digest): Promise<Digest | null> {
    const known = this.#subjects.get(digest)
    if (known !== undefined) return known
    const subject = (await this.#readManifest(digest))?.subject?.digest ?? null
    this.#subjects.set(digest, subject)
    return subject
  }

  /** Layouts that other programs wrote list only the outermost manifests; those that indexes name count too. */
  async #findChild(contents: Contents, digest: Digest): Promise<Descriptor | undefined> {
    if ((await this.#storage.sizeOf(this.name, digest)) === undefined) return undefined
    const waiting = [...contents.manifests.values()].filter(({ mediaType }) => isIndexMediaType(mediaType))
    const seen = new Set<Digest>()
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (seen.has(next.digest)) continue
      seen.add(next.digest)
      for (const child of (await this.#readManifest(next.digest))?.manifests ?? []) {
        if (child.digest === digest) return { mediaType: child.mediaType, digest, size: child.size }
        if (isIndexMediaType(child.mediaType)) waiting.push(child)
      }
    }
    return undefined
  }

  async #change(apply: Change['apply']): Promise<void> {
    const { promise, resolve, reject } = withResolvers()
    this.#changes.push({ apply, resolve, reject })
    if (!this.#isWriting) {
      this.#isWriting = true
      void this.#writeAll()
    }
    return promise
  }

  async #writeAll(): Promise<void> {
    while (this.#changes.length > 0) {
      const batch = this.#changes.splice(0)
      try {
        const before = (await this.contents()) ?? NOTHING
        const after = batch.reduce((contents, change) => change.apply(contents), before)
        this.#version = await this.#storage.writeIndex(this.name, indexOf(after))
        this.#contents = after
        for (const change of batch) change.resolve()
      } catch (error) {
        for (const change of batch) change.reject(error)
      }
    }
    this.#isWriting = false
  }
}

/** What this registry reads in a manifest of either kind. */
interface ParsedManifest {
  readonly artifactType?: string | undefined
  readonly config?: Descriptor | undefined
  readonly manifests?: readonly Descriptor[] | undefined
  readonly subject?: Descriptor | undefined
  readonly annotations?: Annotations | undefined
}

function parseManifest(bytes: Buffer): ParsedManifest | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    const parsed = manifestSchema.safeParse(value)
    return parsed.success ? parsed.data : indexSchema.safeParse(value).data
  } catch (error) {
    // Another program put it there; this registry accepts no such manifest.
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function describeReferrer(manifest: ParsedManifest | undefined): Pick<Descriptor, 'artifactType' | 'annotations'> {
  const artifactType = manifest?.artifactType || manifest?.config?.mediaType
  const annotations = manifest?.annotations
  return {
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }
}

function withResolvers(): { promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void } {
  let resolve: () => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
}
