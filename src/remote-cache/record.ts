import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { isDigest, OCI, type Descriptor, type Digest, type Manifest } from 'oci-spec-types'
import { manifestSchema } from 'oci-spec-types/schemas'
import { BuildError } from '../core/errors.ts'
import { canonicalJson } from '../core/json.ts'

/** What marks the artifacts of this cache. */
const ARTIFACT_TYPE = 'application/vnd.layerwright.layer.v1'
const NOTE_TYPE = 'application/vnd.layerwright.layer.note.v1'

const KEY = {
  key: 'dev.layerwright.layer.key',
  diffId: 'dev.layerwright.layer.diff-id',
  inputs: 'dev.layerwright.layer.inputs',
  note: 'dev.layerwright.layer.note',
  signature: 'dev.layerwright.signature',
} as const

/** Longer inputs (a project of many thousand files) are named by the key alone: registries take 4 MiB of manifest. */
const MAX_INPUTS_LENGTH = 512 * 1024

/** The configuration of artifacts that have none (image-spec, "Guidance for an Empty Descriptor"). */
export const EMPTY_CONFIG = {
  mediaType: OCI.empty,
  digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
  size: 2,
} as const

/** What a layer's inputs were turned into, as it lies in a registry. */
export interface RemoteRecord {
  /** The hash of the inputs. */
  readonly key: string
  /** Of the layer, as it is in images. */
  readonly descriptor: Descriptor
  readonly diffId: Digest
  /** What the layer was made from, for people and audits; the key is their hash. */
  readonly inputs?: unknown
  /** Blobs with facts about the layer, by what they tell. */
  readonly notes: ReadonlyMap<string, Descriptor>
}

/** The tag of a key. Not `sha256-...`: that is the name of a list of referrers. */
export function tagOfKey(key: string): string {
  return `layer-${key.replace(/^sha256:/, '')}`
}

/**
 * Writes a record as an artifact manifest. Equal records give equal bytes: there is no time in it.
 *
 * @param signer  an Ed25519 key that vouches for the record
 */
export function encodeRecord(record: RemoteRecord, signer?: KeyObject): Buffer {
  const inputs = record.inputs === undefined ? '' : canonicalJson(record.inputs)
  const notes = [...record.notes].sort(([a], [b]) => (a < b ? -1 : 1))
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: OCI.manifest,
    artifactType: ARTIFACT_TYPE,
    config: EMPTY_CONFIG,
    layers: [
      record.descriptor,
      ...notes.map(([name, { digest, size }]) => ({
        mediaType: NOTE_TYPE,
        digest,
        size,
        annotations: { [KEY.note]: name },
      })),
    ],
    annotations: {
      [KEY.key]: record.key,
      [KEY.diffId]: record.diffId,
      ...(inputs === '' || inputs.length > MAX_INPUTS_LENGTH ? {} : { [KEY.inputs]: inputs }),
    },
  }
  if (signer === undefined) return Buffer.from(canonicalJson(manifest))
  const signature = sign(null, Buffer.from(canonicalJson(manifest)), signer).toString('base64')
  return Buffer.from(
    canonicalJson({ ...manifest, annotations: { ...manifest.annotations, [KEY.signature]: signature } }),
  )
}

/**
 * Reads the record of a key.
 *
 * @param trusted  keys of which one must have signed the record; anybody may have written it when there are none
 * @returns undefined for a manifest that is no record of this key
 * @throws BuildError SIGNATURE_INVALID when it is one, and nobody trusted signed it
 */
export function decodeRecord(bytes: Buffer, key: string, trusted: readonly KeyObject[] = []): RemoteRecord | undefined {
  const parsed = manifestSchema.safeParse(JSON.parse(bytes.toString('utf8')))
  if (!parsed.success || parsed.data.artifactType !== ARTIFACT_TYPE) return undefined
  const { layers, annotations = {} } = parsed.data
  const [layer, ...others] = layers
  const diffId = annotations[KEY.diffId] ?? ''
  // Whoever writes to the registry can put any record under any tag; only its own key makes it this one's.
  if (annotations[KEY.key] !== key || layer === undefined || !isDigest(diffId)) return undefined
  if (trusted.length > 0) assertSigned(parsed.data, trusted, key)
  const { mediaType, digest, size } = layer
  return {
    key,
    descriptor: { mediaType, digest, size },
    diffId,
    notes: new Map(
      others.flatMap((note) => (note.annotations?.[KEY.note] ? [[note.annotations[KEY.note] ?? '', note]] : [])),
    ),
  }
}

/** Reads an Ed25519 key that signs records (PEM). @throws BuildError CREDENTIALS_INVALID */
export function readSigningKey(pem: string | Buffer, where: string): KeyObject {
  return readKey(() => createPrivateKey(pem), where)
}

/** Reads an Ed25519 key that proves records (PEM). @throws BuildError CREDENTIALS_INVALID */
export function readTrustedKey(pem: string | Buffer, where: string): KeyObject {
  return readKey(() => createPublicKey(pem), where)
}

function readKey(read: () => KeyObject, where: string): KeyObject {
  let key: KeyObject | undefined
  let cause: unknown
  try {
    key = read()
  } catch (error) {
    // The parser's words may show the key.
    cause = error instanceof Error ? error.name : undefined
  }
  if (key?.asymmetricKeyType === 'ed25519') return key
  throw new BuildError('CREDENTIALS_INVALID', `Not an Ed25519 key: \`${where}\``, {
    hint: 'Make one with `openssl genpkey -algorithm ed25519 -out cache.pem`, its public half with `openssl pkey -in cache.pem -pubout`.',
    cause,
  })
}

function assertSigned(manifest: Manifest, trusted: readonly KeyObject[], key: string): void {
  const { [KEY.signature]: signature, ...annotations } = manifest.annotations ?? {}
  const signed = Buffer.from(canonicalJson({ ...manifest, annotations }))
  const proof = Buffer.from(signature ?? '', 'base64')
  if (signature !== undefined && trusted.some((candidate) => verify(null, signed, candidate, proof))) return
  throw new BuildError('SIGNATURE_INVALID', `No trusted key signed the cached layer ${key}`)
}
