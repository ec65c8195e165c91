import type { KeyObject } from 'node:crypto'
import type { Descriptor } from 'oci-spec-types'
import { canonicalJson } from '../core/json.ts'
import type { PlatformLock } from '../lock/lock.ts'
import { listComponents } from './components.ts'
import { signEnvelope, DSSE_MEDIA_TYPE } from './dsse.ts'
import { IN_TOTO_MEDIA_TYPE, makeProvenance, SLSA_PREDICATE_TYPE } from './provenance.ts'
import type { Statement } from './referrer.ts'
import { makeSpdx, SPDX_MEDIA_TYPE } from './spdx.ts'

/** A built image of one platform with what it was built from. */
export interface BuiltImage {
  readonly name: string
  /** Of the manifest. */
  readonly descriptor: Descriptor
  readonly lock: PlatformLock
  /** RFC 3339 */
  readonly created: string
  /** The image's labels. */
  readonly labels: Readonly<Record<string, string>>
  readonly toolVersion: string
}

/**
 * What is said of an image: its components as SPDX, and how it was built as in-toto's SLSA provenance, signed when
 * there is a key.
 */
export function statementsAbout(built: BuiltImage, key?: KeyObject): readonly Statement[] {
  const { name, descriptor, lock, created, labels, toolVersion } = built
  const { os, architecture } = lock.platform
  const image = { name, digest: descriptor.digest, platform: `${os}/${architecture}`, created, toolVersion }
  const components = listComponents(lock)
  const configuration: unknown = JSON.parse(labels['run.cog.config'] ?? 'null')
  const revision = labels['org.opencontainers.image.revision']
  const provenance = Buffer.from(canonicalJson(makeProvenance({ image, configuration, revision }, components)))
  const annotations = { 'in-toto.io/predicate-type': SLSA_PREDICATE_TYPE }
  return [
    { mediaType: SPDX_MEDIA_TYPE, bytes: Buffer.from(canonicalJson(makeSpdx(image, components))) },
    key === undefined
      ? { mediaType: IN_TOTO_MEDIA_TYPE, bytes: provenance, annotations }
      : {
          mediaType: DSSE_MEDIA_TYPE,
          bytes: Buffer.from(canonicalJson(signEnvelope(provenance, IN_TOTO_MEDIA_TYPE, key))),
          annotations,
        },
  ]
}
