import { isDigest, type Digest } from 'oci-spec-types'

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const MAX_NAME_LENGTH = 255

// A repository is an OCI layout in a folder, and `a/blobs` would be a repository inside the layout of `a`.
const RESERVED: ReadonlySet<string> = new Set(['blobs', 'index.json', 'oci-layout'])

/**
 * Tells whether a text names a repository that this registry can hold.
 *
 * A name that passes has no empty, `.` or `..` part, so it is safe as a relative path.
 *
 * @see OCI distribution-spec, "Pulling manifests", `<name>`
 */
export function isRepositoryName(text: string): boolean {
  return text.length <= MAX_NAME_LENGTH && text.split('/').every(isRepositoryNamePart)
}

/** Tells whether a text may stand between the slashes of a repository's name. */
export function isRepositoryNamePart(text: string): boolean {
  return COMPONENT.test(text) && !RESERVED.has(text)
}

/** Tells whether a text is a tag (distribution-spec, "Pulling manifests", `<reference>`). */
export function isTag(text: string): boolean {
  return TAG.test(text)
}

/** What names a manifest within a repository. */
export type ManifestReference =
  | { readonly kind: 'tag'; readonly tag: string }
  | { readonly kind: 'digest'; readonly digest: Digest }

/** Reads a tag or a digest; undefined when it is neither. */
export function parseManifestReference(text: string): ManifestReference | undefined {
  if (isDigest(text)) return { kind: 'digest', digest: text }
  return isTag(text) ? { kind: 'tag', tag: text } : undefined
}
