import { digestAlgorithm, DOCKER, OCI, type Descriptor, type Digest } from 'oci-spec-types'
import { digestOf } from '../src/core/digest.ts'
import { BuildError } from '../src/core/errors.ts'

/** A manifest or index as it lies in a registry or layout. */
export interface RawManifest {
  /** Media type, digest and size. */
  readonly descriptor: Descriptor
  /** The exact bytes that `descriptor` names. */
  readonly bytes: Buffer
}

/** The largest manifest that is read or sent; the specification asks registries for 4 MiB at least. */
export const MANIFEST_LIMIT = 8 << 20

/** Every kind of manifest this program can use, the preferred first. */
export const ACCEPT_MANIFESTS = [OCI.index, OCI.manifest, DOCKER.manifestList, DOCKER.manifest].join(', ')

const MANIFEST_TYPES: ReadonlySet<string> = new Set([OCI.index, OCI.manifest, DOCKER.manifestList, DOCKER.manifest])

/**
 * Names the bytes of a manifest, after checking that their kind is what everybody will take them for.
 *
 * @param contentType what the server called it, with or without parameters; undefined when nobody said
 * @param where names it in errors
 * @throws BuildError NOT_SUPPORTED for schema 1, IMAGE_INVALID for bytes that are no manifest or two kinds at once
 */
export function readManifest(
  bytes: Buffer,
  contentType: string | undefined,
  where: string,
  algorithm: 'sha256' | 'sha512' = 'sha256',
): RawManifest {
  const mediaType = mediaTypeOf(bytes, contentType, where)
  return { descriptor: { mediaType, digest: digestOf(bytes, algorithm), size: bytes.length }, bytes }
}

/** Checks bytes against the digest by which they were asked for. @throws BuildError DIGEST_MISMATCH */
export function assertDigest(manifest: RawManifest, digest: Digest, where: string): void {
  const actual = digestOf(manifest.bytes, digestAlgorithm(digest))
  if (actual === digest) return
  throw new BuildError('DIGEST_MISMATCH', `The manifest of ${where} has the digest ${actual}, not ${digest}`, {
    hint: 'The content was altered or damaged on the way. Try again; if it stays, do not trust the source.',
    data: { expected: digest, actual },
  })
}

function mediaTypeOf(bytes: Buffer, contentType: string | undefined, where: string): string {
  const sent = contentType?.split(';')[0]?.trim().toLowerCase()
  if (sent === DOCKER.manifestV1 || sent === DOCKER.manifestV1Signed) throw schema1(where)
  const document = parseObject(bytes, where)
  const { mediaType: written, schemaVersion } = document
  if (schemaVersion === 1) throw schema1(where)
  const field = typeof written === 'string' && MANIFEST_TYPES.has(written) ? written : undefined
  const header = sent !== undefined && MANIFEST_TYPES.has(sent) ? sent : undefined
  if ('manifests' in document && ('layers' in document || 'config' in document))
    throw invalid(where, 'is a manifest and an index at once')
  if (field !== undefined && header !== undefined && field !== header)
    throw invalid(where, `says it is ${field} but was sent as ${header}`)
  const mediaType = field ?? header ?? guess(document)
  if (mediaType === undefined)
    throw invalid(where, `is no image manifest (${typeof written === 'string' ? written : String(sent)})`)
  if (isIndex(mediaType) !== 'manifests' in document) throw invalid(where, `is not what its type ${mediaType} says`)
  return mediaType
}

/** OCI manifests need no mediaType field, and some servers send them as text/plain. */
function guess(document: Readonly<Record<string, unknown>>): string | undefined {
  if (Array.isArray(document['manifests'])) return OCI.index
  if (Array.isArray(document['layers']) && 'config' in document) return OCI.manifest
  return undefined
}

function isIndex(mediaType: string): boolean {
  return mediaType === OCI.index || mediaType === DOCKER.manifestList
}

function parseObject(bytes: Buffer, where: string): Record<string, unknown> {
  let document: unknown
  try {
    document = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw invalid(where, 'is not JSON', error)
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document))
    throw invalid(where, 'is not a JSON object')
  return document as Record<string, unknown>
}

function invalid(where: string, problem: string, cause?: unknown): BuildError {
  return new BuildError('IMAGE_INVALID', `The manifest of ${where} ${problem}`, { cause })
}

function schema1(where: string): BuildError {
  return new BuildError('NOT_SUPPORTED', `The image has the obsolete manifest schema 1: ${where}`, {
    hint: 'Push it again with a current tool, or ask the registry for another tag. Schema 1 was removed from all clients.',
  })
}
