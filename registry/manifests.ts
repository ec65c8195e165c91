import { digestAlgorithm, isDigest, type Descriptor, type Digest } from 'oci-spec-types'
import { BuildError, isBuildError } from '../src/core/errors.ts'
import type { HttpResponse } from '../src/core/http.ts'
import { registryError, RegistryError } from './errors.ts'
import { ACCEPT_MANIFESTS, assertDigest, MANIFEST_LIMIT, readManifest, type RawManifest } from './manifest.ts'
import type { Remote } from './remote.ts'

const OCI_REFUSED_HINT = 'Old registries know no OCI images: try `--format docker`.'
const READ_TRIES = 2

/** Reads a manifest or index by tag or digest, checked. @throws as `RegistryClient.getManifest` */
export async function fetchManifest(remote: Remote, reference: string): Promise<RawManifest> {
  for (let tries = 1; ; tries++) {
    try {
      return await fetchOnce(remote, reference)
    } catch (error) {
      // Damaged on the way, perhaps: once more, then it is the registry's own.
      const isDamaged = isBuildError(error, 'DIGEST_MISMATCH') || isBuildError(error, 'IMAGE_INVALID')
      if (!isDamaged || tries === READ_TRIES) throw error
    }
  }
}

async function fetchOnce(remote: Remote, reference: string): Promise<RawManifest> {
  const headers = { accept: ACCEPT_MANIFESTS }
  const response = await remote.send({ method: 'GET', path: `/manifests/${reference}`, headers })
  const where = remote.at(reference)
  if (response.status !== 200) throw await registryError(response, { method: 'GET', what: `read ${where}` })
  const declared = response.header('docker-content-digest')
  const bytes = await response.bytes(MANIFEST_LIMIT)
  const algorithm = isDigest(reference) ? digestAlgorithm(reference) : 'sha256'
  const type = response.header('content-type')
  if (type?.startsWith('text/html') === true)
    throw new BuildError('REGISTRY_FAILED', `A web page came instead of a manifest: ${where}`, {
      hint: 'Is this the address of a registry, and does a proxy or gateway in between want a login?',
    })
  const manifest = readManifest(bytes, type, where, algorithm)
  const expected = isDigest(reference) ? reference : declared
  if (expected !== undefined && isDigest(expected)) assertDigest(manifest, expected, where)
  return manifest
}

/** Names what a tag or digest means. @throws RegistryError with status 404 when there is no such manifest */
export async function describeManifest(remote: Remote, reference: string): Promise<Descriptor> {
  const headers = { accept: ACCEPT_MANIFESTS }
  const response = await remote.send({ method: 'HEAD', path: `/manifests/${reference}`, headers })
  await response.discard()
  if (response.status === 404 || response.status === 429)
    throw await registryError(response, { method: 'HEAD', what: `find ${remote.at(reference)}` })
  // Some registries know no HEAD (403, 405) or leave the headers out: what GET says counts, its error has a text too.
  return readDescriptor(response, reference) ?? (await fetchManifest(remote, reference)).descriptor
}

function readDescriptor(response: HttpResponse, reference: string): Descriptor | undefined {
  const digest = response.header('docker-content-digest')
  const mediaType = response.header('content-type')?.split(';')[0]?.trim()
  const size = Number(response.header('content-length') ?? 0)
  if (response.status !== 200 || digest === undefined || !isDigest(digest)) return undefined
  if (isDigest(reference) && digest !== reference) return undefined
  return mediaType === undefined || size === 0 ? undefined : { mediaType, digest, size }
}

/**
 * Writes a manifest under a tag or its digest.
 *
 * @returns the answer, for what it says about referrers
 * @throws RegistryError; BuildError DIGEST_MISMATCH when the registry says it stored something else
 */
export async function storeManifest(
  remote: Remote,
  reference: string,
  manifest: RawManifest,
): Promise<HttpResponse | undefined> {
  const { descriptor, bytes } = manifest
  const headers = { 'content-type': descriptor.mediaType }
  const response = await remote.send({ method: 'PUT', path: `/manifests/${reference}`, headers, body: bytes })
  if (response.status !== 201 && response.status !== 202) {
    const isOci = descriptor.mediaType.startsWith('application/vnd.oci.')
    const hint = isOci && (response.status === 400 || response.status === 415) ? OCI_REFUSED_HINT : undefined
    const error = await registryError(response, { method: 'PUT', what: `push ${remote.at(reference)}` }, { hint })
    // An immutable tag that already means this very image is what was wanted.
    const isSame =
      error.status < 500 &&
      error.status !== 429 &&
      !isDigest(reference) &&
      (await means(remote, reference, descriptor.digest))
    if (isSame) return undefined
    throw error
  }
  await response.discard()
  const stored = response.header('docker-content-digest')
  const isOther = stored !== undefined && isDigest(stored) && stored !== descriptor.digest
  if (isOther && digestAlgorithm(stored) === digestAlgorithm(descriptor.digest))
    throw new BuildError(
      'DIGEST_MISMATCH',
      `The registry stored ${stored} instead of ${descriptor.digest}: ${remote.at(reference)}`,
    )
  return response
}

async function means(remote: Remote, tag: string, digest: Digest): Promise<boolean> {
  try {
    return (await describeManifest(remote, tag)).digest === digest
  } catch (error) {
    if (error instanceof RegistryError) return false
    throw error
  }
}
