import { OCI, type Descriptor, type Manifest } from 'oci-spec-types'
import { openBytes } from '../core/bytes.ts'
import { digestOf } from '../core/digest.ts'
import { canonicalJson } from '../core/json.ts'
import type { Content } from '../destinations/content.ts'
import { EMPTY_CONFIG } from '../remote-cache/record.ts'

/** A document that says something of an image. */
export interface Statement {
  /** Of the artifact and of the document itself. */
  readonly mediaType: string
  readonly bytes: Buffer
  readonly annotations?: Readonly<Record<string, string>> | undefined
}

/**
 * Packs a document as an artifact that refers to an image, ready to be copied beside it.
 *
 * @see OCI image-spec, "Guidelines for Artifact Usage"; distribution-spec, "Pushing Manifests with Subject"
 */
export function referrerContent(statement: Statement, subject: Descriptor): Content {
  const { mediaType, bytes, annotations } = statement
  const layer = {
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
    ...(annotations === undefined ? {} : { annotations }),
  }
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: OCI.manifest,
    artifactType: mediaType,
    config: EMPTY_CONFIG,
    layers: [layer],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
    ...(annotations === undefined ? {} : { annotations }),
  }
  const raw = Buffer.from(canonicalJson(manifest))
  return {
    manifest: { descriptor: { mediaType: OCI.manifest, digest: digestOf(raw), size: raw.length }, bytes: raw },
    blobs: [
      { descriptor: EMPTY_CONFIG, open: openBytes(Buffer.from('{}')) },
      { descriptor: layer, open: openBytes(bytes) },
    ],
    children: [],
  }
}
