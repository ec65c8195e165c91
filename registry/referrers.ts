import { digestAlgorithm, digestHex, isDigest, OCI, type Descriptor, type Digest } from 'oci-spec-types'
import { BuildError } from '../src/core/errors.ts'
import { maskUrl, type HttpResponse } from '../src/core/http.ts'
import { registryError, RegistryError } from './errors.ts'
import { MANIFEST_LIMIT, readManifest, type RawManifest } from './manifest.ts'
import { fetchManifest, storeManifest } from './manifests.ts'
import type { Remote } from './remote.ts'
import { nextPage } from './tags.ts'

/**
 * Manifests that refer to another one, by the referrers API, else by the tag that stands in for it.
 *
 * @see OCI distribution-spec, "Listing Referrers" and "Unavailable Referrers API"
 */
export async function listReferrers(
  remote: Remote,
  digest: Digest,
  artifactType: string | undefined,
): Promise<readonly Descriptor[]> {
  const query = artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(artifactType)}`
  const found: Descriptor[] = []
  const seen = new Set<string>()
  let path: string | undefined = `/referrers/${digest}${query}`
  while (path !== undefined && !seen.has(path)) {
    seen.add(path)
    const response: HttpResponse = await remote.send({ method: 'GET', path, headers: { accept: OCI.index } })
    if (response.status === 404 || response.status === 400 || response.status === 405) {
      await response.discard()
      found.push(...(await readReferrersTag(remote, digest)))
      break
    }
    if (response.status !== 200)
      throw await registryError(response, { method: 'GET', what: `list what refers to ${remote.at(digest)}` })
    found.push(...(await readReferrers(await response.bytes(MANIFEST_LIMIT), maskUrl(response.url))))
    path = nextPage(response, remote.connection.origin)
  }
  // A registry may filter or not; it says so in a header that proxies drop.
  return artifactType === undefined ? found : found.filter((entry) => entry.artifactType === artifactType)
}

/**
 * Adds a manifest with a subject to the tag that lists its subject's referrers, when the registry has no such API.
 *
 * @param response the answer to the manifest's PUT: `OCI-Subject` says that the registry did it itself
 */
export async function keepReferrer(remote: Remote, manifest: RawManifest, response: HttpResponse): Promise<void> {
  if (response.header('oci-subject') !== undefined) return
  const document = JSON.parse(manifest.bytes.toString('utf8')) as {
    readonly subject?: { readonly digest?: unknown }
    readonly artifactType?: string
    readonly config?: { readonly mediaType?: string }
    readonly annotations?: Readonly<Record<string, string>>
  }
  const subject = document.subject?.digest
  if (typeof subject !== 'string' || !isDigest(subject)) return
  const known = await readReferrersTag(remote, subject)
  if (known.some(({ digest }) => digest === manifest.descriptor.digest)) return
  const artifactType = document.artifactType ?? document.config?.mediaType
  const entry: Descriptor = {
    ...manifest.descriptor,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(document.annotations === undefined ? {} : { annotations: { ...document.annotations } }),
  }
  const index = { schemaVersion: 2, mediaType: OCI.index, manifests: [...known, entry] }
  const bytes = Buffer.from(JSON.stringify(index))
  await storeManifest(remote, referrersTag(subject), readManifest(bytes, OCI.index, remote.name))
}

async function readReferrersTag(remote: Remote, digest: Digest): Promise<readonly Descriptor[]> {
  try {
    return await readReferrers((await fetchManifest(remote, referrersTag(digest))).bytes, remote.name)
  } catch (error) {
    if (error instanceof RegistryError && error.status === 404) return []
    throw error
  }
}

/** `sha256-<hex>`, cut to what a tag may have ("Referrers Tag Schema"). */
function referrersTag(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}`.slice(0, 128)
}

async function readReferrers(bytes: Buffer, where: string): Promise<readonly Descriptor[]> {
  let document: unknown
  try {
    document = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw new BuildError('REGISTRY_FAILED', `The list of referrers is not JSON: ${where}`, { cause: error })
  }
  const { indexSchema } = await import('oci-spec-types/schemas')
  const parsed = indexSchema.safeParse(document)
  if (!parsed.success) throw new BuildError('REGISTRY_FAILED', `The list of referrers is no index: ${where}`)
  return parsed.data.manifests
}
