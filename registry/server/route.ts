/** What a request path asks for. Names, digests and references are as they came, unchecked. */
export type Route =
  | { readonly kind: 'ping' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'tags'; readonly repository: string }
  | { readonly kind: 'manifest'; readonly repository: string; readonly reference: string }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: string }
  | { readonly kind: 'uploads'; readonly repository: string }
  | { readonly kind: 'upload'; readonly repository: string; readonly id: string }
  | { readonly kind: 'referrers'; readonly repository: string; readonly digest: string }

/**
 * Reads a request path (distribution-spec, "Endpoints"). A repository's name may hold slashes and words such as
 * `manifests`; the last such word before the last part decides.
 *
 * @returns undefined for a path that the API does not have
 */
export function parseRoute(path: string): Route | undefined {
  if (path === '/v2' || path === '/v2/') return { kind: 'ping' }
  if (path === '/v2/_catalog') return { kind: 'catalog' }
  const match =
    /^\/v2\/(?<repository>.+)\/(?:(?<tags>tags\/list)|(?<uploads>blobs\/uploads)\/?|blobs\/uploads\/(?<id>[^/]+)|(?<kind>manifests|blobs|referrers)\/(?<last>[^/]+))$/.exec(
      path,
    )
  const { repository, tags, uploads, id, kind, last } = match?.groups ?? {}
  if (repository === undefined) return undefined
  if (tags !== undefined) return { kind: 'tags', repository }
  if (uploads !== undefined) return { kind: 'uploads', repository }
  if (id !== undefined) return { kind: 'upload', repository, id }
  if (last === undefined) return undefined
  if (kind === 'manifests') return { kind: 'manifest', repository, reference: last }
  return kind === 'blobs' ? { kind: 'blob', repository, digest: last } : { kind: 'referrers', repository, digest: last }
}
