import { ANNOTATION, OCI, type Descriptor, type Digest, type Index } from 'oci-spec-types'
import { isTag } from './names.ts'

/** The manifests of a repository and what its tags point at. */
export interface Contents {
  readonly manifests: ReadonlyMap<Digest, Descriptor>
  readonly tags: ReadonlyMap<string, Digest>
}

/** A repository that holds nothing. */
export const NOTHING: Contents = { manifests: new Map(), tags: new Map() }

/** Reads the index of an OCI layout; names in it that are no tags are left out, their manifests are not. */
export function contentsOf(index: Index): Contents {
  const manifests = new Map<Digest, Descriptor>()
  const tags = new Map<string, Digest>()
  for (const descriptor of index.manifests) {
    const name = descriptor.annotations?.[ANNOTATION.refName]
    manifests.set(descriptor.digest, untagged(descriptor))
    if (name !== undefined && isTag(name)) tags.set(name, descriptor.digest)
  }
  return { manifests, tags }
}

/** Writes contents as the index of an OCI layout: a line per tag, then the manifests without one. */
export function indexOf(contents: Contents): Index {
  const named = sortedTags(contents).flatMap(([tag, digest]) => {
    const descriptor = contents.manifests.get(digest)
    return descriptor === undefined
      ? []
      : [{ ...descriptor, annotations: { ...descriptor.annotations, [ANNOTATION.refName]: tag } }]
  })
  const tagged = new Set(contents.tags.values())
  const unnamed = [...contents.manifests.values()].filter(({ digest }) => !tagged.has(digest))
  return { schemaVersion: 2, mediaType: OCI.index, manifests: [...named, ...unnamed] }
}

/** The tags in the order of their bytes, as the distribution-spec lists them. */
export function sortedTags(contents: Contents): [string, Digest][] {
  return [...contents.tags].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
}

/** Adds a manifest and points tags at it. */
export function withManifest(contents: Contents, descriptor: Descriptor, tags: readonly string[]): Contents {
  return {
    manifests: new Map(contents.manifests).set(descriptor.digest, descriptor),
    tags: new Map([...contents.tags, ...tags.map((tag) => [tag, descriptor.digest] as const)]),
  }
}

/** Takes a tag away; its manifest stays. */
export function withoutTag(contents: Contents, tag: string): Contents {
  return { ...contents, tags: new Map([...contents.tags].filter(([name]) => name !== tag)) }
}

/** Takes a manifest away, and every tag that points at it. */
export function withoutManifest(contents: Contents, digest: Digest): Contents {
  return {
    manifests: new Map([...contents.manifests].filter(([name]) => name !== digest)),
    tags: new Map([...contents.tags].filter(([, target]) => target !== digest)),
  }
}

function untagged(descriptor: Descriptor): Descriptor {
  const { annotations = {}, ...rest } = descriptor
  const kept = Object.entries(annotations).filter(([key]) => key !== ANNOTATION.refName)
  return kept.length === 0 ? rest : { ...rest, annotations: Object.fromEntries(kept) }
}
