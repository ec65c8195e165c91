import {
  digestAlgorithm,
  DOCKER,
  isForeignLayer,
  isIndexMediaType,
  isManifestMediaType,
  type Descriptor,
  type Digest,
  type Index,
  type Manifest,
} from 'oci-spec-types'
import { indexSchema, manifestSchema } from 'oci-spec-types/schemas'
import { collect } from '../../../src/core/bytes.ts'
import { digestOf } from '../../../src/core/digest.ts'
import type { Answer, Call } from '../exchange.ts'
import { Fault } from '../fault.ts'
import { isTag, parseManifestReference, type ManifestReference } from '../names.ts'
import type { Registry } from '../registry.ts'
import { MAX_MANIFEST_BYTES } from '../storage.ts'

/** GET and HEAD of a manifest, by tag or digest (distribution-spec, "Pulling manifests"). */
export async function getManifest(registry: Registry, call: Call, name: string, text: string): Promise<Answer> {
  const descriptor = await (await registry.existing(name))?.find(parseReference(text))
  const blob = descriptor && (await registry.storage.open(name, descriptor.digest))
  if (descriptor === undefined || blob === undefined) throw unknownManifest(name, text)
  const etag = `"${descriptor.digest}"`
  const headers = { 'docker-content-digest': descriptor.digest, etag, 'content-type': descriptor.mediaType }
  if (call.header('if-none-match') === etag) {
    await blob.close()
    return { status: 304, headers }
  }
  const { sizeBytes } = blob
  const body = { sizeBytes, stream: () => blob.stream(0, sizeBytes), close: () => blob.close() }
  return { status: 200, headers, body }
}

/** PUT of a manifest under a tag, or under its digest with any number of `tag` parameters. */
export async function putManifest(registry: Registry, call: Call, name: string, text: string): Promise<Answer> {
  const reference = parseReference(text)
  const tags = reference.kind === 'tag' ? [reference.tag] : tagParameters(call)
  const bytes = await readBody(call)
  const digest = digestOf(bytes, reference.kind === 'digest' ? digestAlgorithm(reference.digest) : 'sha256')
  if (reference.kind === 'digest' && digest !== reference.digest) {
    throw new Fault('DIGEST_INVALID', `The manifest has the digest ${digest}, not ${reference.digest}`)
  }
  const { mediaType, document } = parseDocument(call, bytes)
  await assertReferences(registry, name, document)
  await registry.storage.write(name, digest, bytes)
  const descriptor: Descriptor = { mediaType, digest, size: bytes.length }
  await registry.repository(name).put(descriptor, tags)
  const headers = {
    location: `/v2/${name}/manifests/${digest}`,
    'docker-content-digest': digest,
    ...(document.subject === undefined ? {} : { 'oci-subject': document.subject.digest }),
    ...(reference.kind === 'digest' && tags.length > 0 ? { 'oci-tag': tags } : {}),
  }
  return { status: 201, headers }
}

/** DELETE of a tag, or of a manifest with all its tags. */
export async function deleteManifest(registry: Registry, name: string, text: string): Promise<Answer> {
  const reference = parseReference(text)
  const repository = await registry.existing(name)
  const isDone =
    reference.kind === 'tag' ? await repository?.untag(reference.tag) : await repository?.remove(reference.digest)
  if (isDone !== true) throw unknownManifest(name, text)
  return { status: 202 }
}

function parseReference(text: string): ManifestReference {
  const reference = parseManifestReference(text)
  if (reference !== undefined) return reference
  if (text.includes(':')) throw new Fault('DIGEST_INVALID', `Not a sha256 or sha512 digest: ${text}`)
  throw new Fault('TAG_INVALID', `Not a tag: ${text}`)
}

function tagParameters(call: Call): string[] {
  const tags = [...new Set(call.query.getAll('tag'))]
  const invalid = tags.find((tag) => !isTag(tag))
  if (invalid !== undefined) throw new Fault('TAG_INVALID', `Not a tag: ${invalid}`)
  return tags
}

async function readBody(call: Call): Promise<Buffer> {
  const tooLarge = new Fault('SIZE_INVALID', `A manifest may have ${MAX_MANIFEST_BYTES} bytes`, { status: 413 })
  if (Number(call.header('content-length') ?? 0) > MAX_MANIFEST_BYTES) throw tooLarge
  try {
    return await collect(call.body(), MAX_MANIFEST_BYTES)
  } catch (error) {
    throw error instanceof RangeError ? tooLarge : error
  }
}

interface TypedDocument {
  readonly mediaType: string
  readonly document: Manifest | Index
}

function parseDocument(call: Call, bytes: Buffer): TypedDocument {
  const value = parseJson(bytes)
  const declared = call.header('content-type')?.split(';')[0]?.trim()
  const own = typeof value === 'object' && value !== null && 'mediaType' in value ? value.mediaType : undefined
  if (own !== undefined && declared !== undefined && own !== declared) {
    throw new Fault(
      'MANIFEST_INVALID',
      `The manifest is of the type ${typeof own === 'string' ? own : typeof own}, the request says ${declared}`,
    )
  }
  const mediaType = declared ?? (typeof own === 'string' ? own : '')
  if (mediaType === DOCKER.manifestV1 || mediaType === DOCKER.manifestV1Signed) {
    throw new Fault('MANIFEST_INVALID', 'Docker schema 1 manifests are not accepted: push with a newer client')
  }
  const isImage = isManifestMediaType(mediaType)
  if (!isImage && !isIndexMediaType(mediaType)) {
    throw new Fault('MANIFEST_INVALID', `Not the media type of a manifest: ${mediaType || 'none given'}`)
  }
  const parsed = (isImage ? manifestSchema : indexSchema).safeParse(value)
  if (parsed.success) return { mediaType, document: parsed.data }
  const [issue] = parsed.error.issues
  throw new Fault('MANIFEST_INVALID', `At ${issue?.path.join('.') || 'the top'}: ${issue?.message}`)
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    // The parser's message differs between versions of Node, and says no more.
    throw new Fault('MANIFEST_INVALID', 'The manifest is not JSON')
  }
}

/** A manifest is published only when all it names can be pulled; a subject may come later (distribution-spec). */
async function assertReferences(registry: Registry, name: string, document: Manifest | Index): Promise<void> {
  if (registry.settings.allowMissing === true) return
  const named = 'manifests' in document ? document.manifests : [document.config, ...document.layers]
  for (const descriptor of named as readonly Descriptor[]) {
    const size = await registry.storage.sizeOf(name, descriptor.digest)
    if (size === undefined && !mayBeElsewhere(descriptor)) throw missing(name, descriptor.digest)
    if (size !== undefined && size !== descriptor.size) {
      throw new Fault(
        'MANIFEST_INVALID',
        `${descriptor.digest} has ${size} bytes, the manifest says ${descriptor.size}`,
      )
    }
  }
}

function mayBeElsewhere({ mediaType, urls = [] }: Descriptor): boolean {
  return isForeignLayer(mediaType) || urls.length > 0
}

function missing(name: string, digest: Digest): Fault {
  return new Fault('MANIFEST_BLOB_UNKNOWN', `The manifest names ${digest}, which ${name} does not have`, {
    detail: { digest },
  })
}

function unknownManifest(name: string, text: string): Fault {
  return new Fault('MANIFEST_UNKNOWN', `${name} has no manifest ${text}`)
}
